// The entry points of NVRTC: a kernel source is preprocessed, its kernels are found and named at its end, and g++ makes a
// shared library of it.
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "module.h"

using namespace emulator;

extern char** environ;

namespace
{
enum : int
{
    NvrtcSuccess = 0,
    NvrtcInvalidInput = 3,
    NvrtcInvalidProgram = 4,
    NvrtcCompilation = 6,
};

struct Program
{
    std::string name, source, log;
    std::vector<std::pair<std::string, std::string>> headers;
    std::vector<unsigned char> image;
};

std::string read_file(const std::string& path)
{
    std::string content;
    if (FILE* file = fopen(path.c_str(), "rb"))
    {
        char buffer[65536];
        for (size_t n; (n = fread(buffer, 1, sizeof(buffer), file)) > 0;)
            content.append(buffer, n);
        fclose(file);
    }
    return content;
}

bool execute(const std::vector<std::string>& words, const std::string& folder, const std::string& log)
{
    std::vector<char*> arguments;
    for (const std::string& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t child;
    int error = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
    {
        std::string words = text("cannot run %s: %s\n", arguments[0], strerror(error));
        write_file(log, words.data(), words.size());
        return false;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

size_t skip_blank(const std::string& s, size_t i)
{
    for (;;)
    {
        while (i < s.size() && isspace((unsigned char)s[i]))
            ++i;
        if (i < s.size() && s[i] == '#' && i > 0 && s[i - 1] == '\n') // a line marker
            while (i < s.size() && s[i] != '\n')
                ++i;
        else
            return i;
    }
}

// From an opening parenthesis to behind its closing one.
size_t skip_parentheses(const std::string& s, size_t i)
{
    for (int depth = 0; i < s.size(); ++i)
        if (s[i] == '(')
            ++depth;
        else if (s[i] == ')' && --depth == 0)
            return i + 1;
    return i;
}

const std::string suffix = "_kernel"; // a kernel may share its name with a template

// Takes the marks of kernels out of preprocessed text, renames them, and returns their table: lines of name, blank, bounds
// and cluster.
std::string find_kernels(std::string& s)
{
    const std::string mark = "__mdm_global__", bounds_mark = "__mdm_launch_bounds__", cluster_mark = "__mdm_cluster_dims__";
    std::set<std::string> seen;
    std::string table;
    for (size_t at = 0; (at = s.find(mark, at)) != std::string::npos;)
    {
        s.replace(at, mark.size(), mark.size(), ' ');
        size_t begin = s.find_last_of(";}", at);
        bool is_template = s.substr(begin == std::string::npos ? 0 : begin, at - begin).find("template") != std::string::npos;
        std::string name, bounds = "(1024)", cluster = "(1)";
        for (size_t i = at;;)
        {
            i = skip_blank(s, i);
            size_t end = i;
            while (end < s.size() && (isalnum((unsigned char)s[end]) || s[end] == '_'))
                ++end;
            std::string word = s.substr(i, end - i);
            size_t next = skip_blank(s, end);
            if (word.empty())
                break;
            if (word == bounds_mark || word == cluster_mark || word == "__attribute__")
            {
                size_t after = skip_parentheses(s, next);
                if (word != "__attribute__")
                {
                    std::string& numbers = word == bounds_mark ? bounds : cluster;
                    numbers = s.substr(next, after - next);
                    for (char& c : numbers)
                        c = c == '\n' ? ' ' : c;
                    for (size_t k = i; k < after; ++k) // lines stay
                        if (s[k] != '\n')
                            s[k] = ' ';
                }
                i = after;
                continue;
            }
            if (s[next] == '(')
            {
                name = word;
                s.insert(end, suffix);
                break;
            }
            i = end;
        }
        if (!is_template && !name.empty() && seen.insert(name).second)
            table += name + " emulator_first" + bounds + ", emulator_first" + cluster + "\n";
    }
    return table;
}

// What to append to preprocessed text (where no macro works any more).
std::string registration(const std::string& table)
{
    std::string text = "\n# 1 \"registration\"\nstatic const emulator::Kernel emulator_kernels[] = {\n";
    size_t at = 0;
    for (size_t end; (end = table.find('\n', at)) != std::string::npos; at = end + 1)
    {
        std::string line = table.substr(at, end - at), name = line.substr(0, line.find(' ')),
            bounds = line.substr(name.size() + 1);
        std::string symbol = name + suffix, signature = "EmulatorSignature<decltype(&" + symbol + ")>::";
        text += "{\"" + name + "\", " + signature + "invoke<&" + symbol + ">, " + signature + "parameters, " + signature
            + "sizes, " + bounds + "},\n";
    }
    return text + "{}};\n"
        "extern \"C\" __attribute__((visibility(\"default\"))) const emulator::Module mdm_emulator_module = {emulator_kernels, "
        "&emulator_services, &threadIdx, &blockIdx, &blockDim, &gridDim, &emulator_dynamic_shared, emulator_bss, emulator_end};\n";
}

bool compile(Program& program, const std::vector<std::string>& defines, const std::string& folder)
{
    for (const HeaderFile& header : header_files())
        if (!write_file(folder + "/" + header.name, header.text, strlen(header.text)))
            return false;
    for (auto& [name, content] : program.headers)
    {
        for (size_t slash = 0; (slash = name.find('/', slash + 1)) != std::string::npos;)
            mkdir((folder + "/" + name.substr(0, slash)).c_str(), 0700);
        write_file(folder + "/" + name, content.data(), content.size());
    }
    write_file(folder + "/" + program.name, program.source.data(), program.source.size());

    const char* cxx = getenv("CXX");
    std::string compiler = cxx && *cxx ? cxx : "g++", log = folder + "/log.txt";
    std::vector<std::string> preprocess{compiler, "-E", "-x", "c++", "-std=gnu++17", "-I.", "-include", "emulator.h",
        "-DMDM_EMULATOR"};
    if (settings().check)
        preprocess.push_back("-DMDM_EMULATOR_CHECK");
    preprocess.insert(preprocess.end(), defines.begin(), defines.end());
    preprocess.insert(preprocess.end(), {program.name, "-o", "unit.ii"});
    bool good = execute(preprocess, folder, log);
    if (good)
    {
        std::string unit = read_file(folder + "/unit.ii"), table = find_kernels(unit);
        unit += registration(table);
        write_file(folder + "/unit.ii", unit.data(), unit.size());
        std::vector<std::string> translate{compiler, "-x", "c++-cpp-output", "unit.ii", "-o", "unit.so", "-shared", "-fPIC",
            "-std=gnu++17",
            "-O1", "-g1", "-fvisibility=hidden", "-fno-gnu-unique", "-fno-exceptions", "-fno-rtti", "-fno-strict-aliasing",
            "-fno-math-errno", "-fno-trapping-math", "-nostartfiles", "-Wl,-Bsymbolic", "-fsanitize=bounds,alignment",
            "-fsanitize-undefined-trap-on-error", "-ftrivial-auto-var-init=pattern", "-Wall", "-Wno-unknown-pragmas",
                "-Wno-unused-function", "-Wno-unused-but-set-variable",
            "-Wno-unused-variable", "-Wno-psabi", "-lm"};
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            translate.push_back("-march=x86-64-v3");
        if (settings().check) // calls before each access, without g++'s own library for them
            translate.insert(translate.end(), {"-fsanitize=thread", "-nodefaultlibs", "-lc"});
        good = execute(translate, folder, log);
    }
    program.log = read_file(log);
    if (!good)
        return false;

    std::string library = read_file(folder + "/unit.so");
    ImageHeader header{};
    memcpy(header.magic, image_magic, sizeof(header.magic));
    header.version = headers_version();
    header.bytes = library.size();
    program.image.assign(reinterpret_cast<unsigned char*>(&header), reinterpret_cast<unsigned char*>(&header + 1));
    program.image.insert(program.image.end(), library.begin(), library.end());
    return true;
}
} // namespace

#define EXPORT extern "C" __attribute__((visibility("default"))) int

// The minor version stands for the emulator's headers, so that compiled modules in a cache are told apart.
EXPORT nvrtcVersion(int* major, int* minor)
{
    *major = 12;
    *minor = 1000 + (int)(headers_version() % 1000000000);
    return NvrtcSuccess;
}

EXPORT nvrtcCreateProgram(Program** program, const char* source, const char* name, int headers, const char* const* contents,
    const char* const* names)
{
    auto made = std::make_unique<Program>();
    made->source = source;
    made->name = name && *name ? name : "default_program";
    if (made->name.find('/') != std::string::npos)
        made->name = made->name.substr(made->name.rfind('/') + 1);
    for (int i = 0; i < headers; ++i)
        made->headers.emplace_back(names[i], contents[i]);
    *program = made.release();
    return NvrtcSuccess;
}

EXPORT nvrtcCompileProgram(Program* program, int count, const char* const* options)
{
    std::vector<std::string> defines;
    std::string architecture = "80";
    for (int i = 0; i < count; ++i)
    {
        std::string option = options[i];
        if (option.rfind("-D", 0) == 0)
            defines.push_back(option == "-D" && i + 1 < count ? "-D" + std::string(options[++i]) : option);
        else if (option.rfind("--define-macro=", 0) == 0)
            defines.push_back("-D" + option.substr(strlen("--define-macro=")));
        else if (option.rfind("--gpu-architecture=", 0) == 0 || option.rfind("-arch=", 0) == 0)
            architecture = option.substr(option.rfind('_') + 1);
    }
    int number = atoi(architecture.c_str());
    defines.push_back("-D__CUDA_ARCH__=" + std::to_string(number * 10));
    if (architecture.back() == 'a')
        defines.push_back("-D__CUDA_ARCH_FEAT_SM" + std::to_string(number) + "_ALL");

    std::string folder = temporary_folder();
    if (folder.empty())
        return program->log = "cannot make a temporary folder", NvrtcCompilation;
    bool good = compile(*program, defines, folder);
    execute({"rm", "-rf", folder}, "/", "/dev/null");
    return good ? NvrtcSuccess : NvrtcCompilation;
}

EXPORT nvrtcGetProgramLogSize(Program* program, size_t* bytes) { return *bytes = program->log.size() + 1, NvrtcSuccess; }
EXPORT nvrtcGetProgramLog(Program* program, char* log)
{
    return memcpy(log, program->log.c_str(), program->log.size() + 1), NvrtcSuccess;
}
EXPORT nvrtcGetCUBINSize(Program* program, size_t* bytes) { return *bytes = program->image.size(), NvrtcSuccess; }
EXPORT nvrtcGetCUBIN(Program* program, void* image)
{
    return memcpy(image, program->image.data(), program->image.size()), NvrtcSuccess;
}
EXPORT nvrtcGetPTXSize(Program* program, size_t* bytes) { return nvrtcGetCUBINSize(program, bytes); }
EXPORT nvrtcGetPTX(Program* program, void* image) { return nvrtcGetCUBIN(program, image); }
EXPORT nvrtcDestroyProgram(Program** program) { return delete *program, *program = nullptr, NvrtcSuccess; }

extern "C" __attribute__((visibility("default"))) const char* nvrtcGetErrorString(int error)
{
    return error == NvrtcSuccess ? "NVRTC_SUCCESS" : error == NvrtcCompilation ? "NVRTC_ERROR_COMPILATION"
        : "NVRTC_ERROR_INVALID_INPUT";
}

using System.Globalization;

namespace Mdm.Kernels.Cpu;

/// <summary>What the system says about its memory.</summary>
internal static class CpuMemory
{
    private const string File = "/proc/meminfo";

    /// <summary>Bytes that programs may still use: free, taken back from the file cache, or swapped. Unlimited where the system
    /// does not say.</summary>
    public static long Left()
    {
        try
        {
            return OperatingSystem.IsLinux() ? Left(System.IO.File.ReadLines(File)) : long.MaxValue;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return long.MaxValue;
        }
    }

    /// <summary>The same from the lines of that file, <c>MemAvailable:  123 kB</c> and others.</summary>
    internal static long Left(IEnumerable<string> lines)
    {
        long sum = 0;
        bool known = false;
        foreach (string line in lines)
        {
            bool available = line.StartsWith("MemAvailable:", StringComparison.Ordinal);
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if ((available || line.StartsWith("SwapFree:", StringComparison.Ordinal)) && words is [_, var number, "kB"]
                && long.TryParse(number, CultureInfo.InvariantCulture, out long kilobytes))
            {
                sum += kilobytes * 1024;
                known |= available;
            }
        }

        return known ? sum : long.MaxValue;
    }
}

# A front for the commands of the project:  ./build.ps1 [restore|build|test|publish|bench]
# Every line is an ordinary dotnet command; type them by hand where there is no PowerShell.
param([string]$Task = "build")

# Packages, as pinned in Directory.Packages.props.
if ($Task -eq "restore") { dotnet restore MdmNative.sln }

# Everything, optimised, warnings as errors.
if ($Task -eq "build") { dotnet build -c Release MdmNative.sln }

# All tests. Those that need a library or a device which is not there are skipped by name.
if ($Task -eq "test") { dotnet test -c Release MdmNative.sln }

# One self-contained program for the present platform, in artifacts/mdm.
if ($Task -eq "publish") { dotnet publish src/Mdm.Cli -c Release --self-contained -p:PublishSingleFile=true -o artifacts/mdm }

# Kernels beside the machine's limits; docs/performance.md tells how to put PyTorch beside them.
if ($Task -eq "bench") { dotnet run -c Release --project bench/Mdm.Bench }

exit $LASTEXITCODE

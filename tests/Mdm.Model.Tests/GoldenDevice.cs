namespace Mdm.Model.Tests.Golden;

/// <summary>The device of the golden tests in this project.</summary>
internal static class GoldenDevice
{
    public const string Name = "cpu";
}

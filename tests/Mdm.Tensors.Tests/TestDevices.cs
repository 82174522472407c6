namespace Mdm.Tensors.Tests;

/// <summary>The devices on which the tests run.</summary>
internal static class TestDevices
{
    public static string[] Names { get; } = ["cpu"];
}

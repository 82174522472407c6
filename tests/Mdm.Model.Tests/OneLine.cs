using Mdm.Kernels;

namespace Mdm.Model.Tests;

/// <summary>Errors as users read them.</summary>
internal static class OneLine
{
    /// <summary>Fails with an <see cref="MdmException"/> of one line that contains all of the words.</summary>
    public static void Require(Action run, params string[] words)
    {
        string message = Assert.Throws<MdmException>(run)!.Message;
        Assert.Multiple(() =>
        {
            Assert.That(message, Does.Not.Contain('\n'));
            foreach (string word in words)
                Assert.That(message, Does.Contain(word));
        });
    }
}

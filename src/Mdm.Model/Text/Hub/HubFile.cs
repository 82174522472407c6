using System.Security.Cryptography;
using System.Text;

namespace Mdm.Model.Text.Hub;

/// <summary>A repository's files at a commit.</summary>
/// <param name="Commit">40 hexadecimal digits.</param>
/// <param name="Files">Names, with folders.</param>
public sealed record HubListing(string Commit, IReadOnlyList<string> Files);

/// <summary>A file as a server describes it.</summary>
/// <param name="Name">In the repository.</param>
/// <param name="Address">Where to get it.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Tag">What names its content: for large files (Git LFS) their SHA-256, for others the number that Git gives
/// them, in hexadecimal digits; anything else from servers that have neither.</param>
public sealed record HubFile(string Name, Uri Address, long Size, string Tag)
{
    private const int Sha256Digits = 64, GitDigits = 40;

    /// <summary>Whether <see cref="Tag"/> tells if the content is right.</summary>
    public bool HasChecksum => Tag.Length is Sha256Digits or GitDigits && Tag.All(char.IsAsciiHexDigitLower);

    /// <summary>A file name for the content.</summary>
    public string BlobName =>
        HasChecksum ? Tag : Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{Tag} {Size}")));

    /// <summary>Begins the checksum that <see cref="Tag"/> is; Git's is SHA-1 of "blob SIZE", a zero byte and the
    /// content.</summary>
    public IncrementalHash StartHash()
    {
        if (Tag.Length == Sha256Digits)
            return IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        // Not a matter of security: it is the name that Git gives to the content.
        var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);
        hash.AppendData(Encoding.ASCII.GetBytes($"blob {Size}\0"));
        return hash;
    }
}

using System.Buffers.Binary;

namespace Mdm.Model.Text;

/// <summary>Walks over the fields of a protocol buffer message. Every method throws <see cref="FormatException"/> where the
/// bytes end too early or make no sense.</summary>
internal ref struct ProtobufReader(ReadOnlySpan<byte> bytes)
{
    private const int Varint = 0, Fixed64 = 1, Delimited = 2, Fixed32 = 5;

    private readonly ReadOnlySpan<byte> bytes = bytes;
    private int at;
    private int wireType;

    /// <summary>The field that <see cref="Next"/> came to.</summary>
    public int Field { get; private set; }

    /// <summary>Goes to the next field; false at the end. Its value must be read or skipped.</summary>
    public bool Next()
    {
        if (at == bytes.Length)
            return false;
        ulong key = ReadVarint();
        (Field, wireType) = ((int)Math.Min(key >> 3, int.MaxValue), (int)(key & 7));
        if (Field == 0)
            throw new FormatException($"a field of number 0 before byte {at}");
        return true;
    }

    /// <summary>An integer of any width.</summary>
    public long Integer()
    {
        Expect(Varint);
        return (long)ReadVarint();
    }

    /// <summary>A truth value.</summary>
    public bool Flag() => Integer() != 0;

    /// <summary>A single-precision number.</summary>
    public float Single()
    {
        Expect(Fixed32);
        return BinaryPrimitives.ReadSingleLittleEndian(Take(sizeof(float)));
    }

    /// <summary>A string or a message.</summary>
    public ReadOnlySpan<byte> Bytes()
    {
        Expect(Delimited);
        return Take(ReadVarint());
    }

    /// <summary>Passes over a field's value.</summary>
    public void Skip()
    {
        switch (wireType)
        {
            case Varint:
                ReadVarint();
                break;
            case Fixed64:
                Take(sizeof(ulong));
                break;
            case Delimited:
                Take(ReadVarint());
                break;
            case Fixed32:
                Take(sizeof(uint));
                break;
            default:
                throw new FormatException($"a field of unknown type {wireType} before byte {at}");
        }
    }

    private readonly void Expect(int type)
    {
        if (wireType != type)
            throw new FormatException($"field {Field} before byte {at} has type {wireType}, expected {type}");
    }

    private ReadOnlySpan<byte> Take(ulong length)
    {
        if (length > (ulong)(bytes.Length - at))
            throw new FormatException($"{length} bytes were to follow byte {at}, found {bytes.Length - at}");
        at += (int)length;
        return bytes.Slice(at - (int)length, (int)length);
    }

    private ulong ReadVarint()
    {
        const int longest = 10;
        ulong value = 0;
        for (int i = 0; i < longest; i++)
        {
            if (at == bytes.Length)
                throw new FormatException($"it ends inside a number at byte {at}");
            byte b = bytes[at++];
            value |= (ulong)(b & 0x7F) << (7 * i);
            if (b < 0x80)
                return value;
        }

        throw new FormatException($"a number of more than {longest} bytes before byte {at}");
    }
}

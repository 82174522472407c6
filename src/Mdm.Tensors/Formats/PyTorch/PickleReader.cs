using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>Interprets a pickle (protocols 2 to 5) as data. Python's own interpreter calls whatever a pickle names; this one
/// has no way to: names stay names, calls become records, apart from the few in <see cref="TorchCalls"/>.</summary>
internal ref struct PickleReader
{
    private const int LongestInteger = 1024;
    private readonly ReadOnlySpan<byte> bytes;
    private readonly List<object?> stack = [];
    private readonly Stack<int> marks = [];
    private readonly Dictionary<long, object?> memo = [];
    private int at;

    private PickleReader(ReadOnlySpan<byte> bytes) => this.bytes = bytes;

    /// <summary>The value that the pickle stands for.</summary>
    /// <exception cref="MdmException">The pickle is damaged, cut short, or uses what torch.save does not.</exception>
    public static object? Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new PickleReader(bytes);
        while (true)
        {
            byte code = reader.Take(1)[0];
            if (code == '.')
                return reader.Pop();
            if (!reader.Atom(code) && !reader.Container(code) && !reader.Memo(code) && !reader.Object(code))
                throw reader.Bad($"found instruction 0x{code:x2}, which torch.save does not write");
        }
    }

    /// <summary>Numbers, strings and protocol marks.</summary>
    private bool Atom(byte code)
    {
        switch (code)
        {
            case 0x80: // PROTO
                int protocol = Take(1)[0];
                if (protocol is < 2 or > 5)
                    throw Bad($"found protocol {protocol}, expected 2 to 5");
                return true;
            case 0x95: // FRAME: only says how much follows
                Take(8);
                return true;
            case (byte)'N': return Push(null);
            case 0x88: return Push(true);
            case 0x89: return Push(false);
            case (byte)'J': return Push((long)BinaryPrimitives.ReadInt32LittleEndian(Take(4)));
            case (byte)'K': return Push((long)Take(1)[0]);
            case (byte)'M': return Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2)));
            case 0x8a: return Push(Integer(Take(Take(1)[0])));
            case 0x8b: return Push(Integer(Take(Length(4, LongestInteger))));
            case (byte)'G': return Push(BinaryPrimitives.ReadDoubleBigEndian(Take(8)));
            case (byte)'X': return Push(Text(Length(4)));
            case 0x8c: return Push(Text(Length(1)));
            case 0x8d: return Push(Text(Length(8)));
            case (byte)'B': return Push(Take(Length(4)).ToArray());
            case (byte)'C': return Push(Take(Length(1)).ToArray());
            case 0x8e or 0x96: return Push(Take(Length(8)).ToArray()); // BINBYTES8, BYTEARRAY8
            case (byte)'T': return Push(Encoding.Latin1.GetString(Take(Length(4)))); // BINSTRING of Python 2
            case (byte)'U': return Push(Encoding.Latin1.GetString(Take(Length(1))));
            default: return false;
        }
    }

    private bool Container(byte code)
    {
        switch (code)
        {
            case (byte)'(':
                marks.Push(stack.Count);
                return true;
            case (byte)'0':
                Pop();
                return true;
            case (byte)'1':
                PopToMark();
                return true;
            case (byte)'2': return Push(Top());
            case (byte)')': return Push(Array.Empty<object?>());
            case (byte)']' or 0x8f: return Push(new List<object?>());
            case (byte)'}': return Push(new PickleDictionary());
            case 0x85: return Push(PopMany(1));
            case 0x86: return Push(PopMany(2));
            case 0x87: return Push(PopMany(3));
            case (byte)'t': return Push(PopToMark());
            case (byte)'l' or 0x91: return Push(new List<object?>(PopToMark())); // LIST, FROZENSET
            case (byte)'d':
                object?[] pairs = PopToMark();
                var made = new PickleDictionary();
                SetItems(made, pairs);
                return Push(made);
            case (byte)'a':
                Append(PopMany(1));
                return true;
            case (byte)'e' or 0x90: // APPENDS, ADDITEMS
                Append(PopToMark());
                return true;
            case (byte)'s':
                object?[] pair = PopMany(2);
                SetItems(Top(), pair);
                return true;
            case (byte)'u':
                object?[] items = PopToMark();
                SetItems(Top(), items);
                return true;
            default: return false;
        }
    }

    private bool Memo(byte code)
    {
        switch (code)
        {
            case (byte)'q':
                memo[Take(1)[0]] = Top();
                return true;
            case (byte)'r':
                memo[BinaryPrimitives.ReadUInt32LittleEndian(Take(4))] = Top();
                return true;
            case 0x94:
                memo[memo.Count] = Top();
                return true;
            case (byte)'h': return Push(Recall(Take(1)[0]));
            case (byte)'j': return Push(Recall(BinaryPrimitives.ReadUInt32LittleEndian(Take(4))));
            default: return false;
        }
    }

    private bool Object(byte code)
    {
        switch (code)
        {
            case (byte)'c': return Push(new PickleGlobal(Line(), Line()));
            case 0x93: // STACK_GLOBAL
                object?[] names = PopMany(2);
                return names is [string module, string name]
                    ? Push(new PickleGlobal(module, name))
                    : throw Bad("a class has no name");
            case (byte)'R': // REDUCE: function, arguments
                object?[] call = PopMany(2);
                return Push(TorchCalls.Call(call[0], call[1]));
            case 0x81: // NEWOBJ: class, arguments
                object?[] creation = PopMany(2);
                return Push(TorchCalls.Call(creation[0], creation[1]));
            case 0x92: // NEWOBJ_EX: class, arguments, named arguments
                object?[] named = PopMany(3);
                return Push(new PickleObject(named[0], named));
            case (byte)'b': // BUILD: members of the object below
                object? state = Pop();
                if (Top() is PickleObject target)
                    target.State = state;
                return true;
            case (byte)'Q': return Push(TorchCalls.Storage(Pop()));
            default: return false;
        }
    }

    private bool Push(object? value)
    {
        stack.Add(value);
        return true;
    }

    private object? Pop()
    {
        object? value = Top();
        stack.RemoveAt(stack.Count - 1);
        return value;
    }

    private readonly object? Top()
    {
        if (stack.Count <= (marks.Count > 0 ? marks.Peek() : 0))
            throw Bad("a value is missing");
        return stack[^1];
    }

    private object?[] PopMany(int count)
    {
        object?[] values = new object?[count];
        while (count > 0)
            values[--count] = Pop();
        return values;
    }

    private object?[] PopToMark()
    {
        if (!marks.TryPop(out int mark))
            throw Bad("a mark is missing");
        object?[] values = [.. stack[mark..]];
        stack.RemoveRange(mark, values.Length);
        return values;
    }

    private readonly void Append(object?[] values)
    {
        // Classes derived from list are records of their creation; their items are of no interest here.
        if (Top() is List<object?> list)
            list.AddRange(values);
        else if (Top() is not PickleObject)
            throw Bad($"found items for a {Top()?.GetType().Name ?? "None"}, expected a list");
    }

    private readonly void SetItems(object? target, object?[] pairs)
    {
        if (pairs.Length % 2 != 0)
            throw Bad("a key has no value");
        if (target is PickleObject)
            return;
        if (target is not PickleDictionary dictionary)
            throw Bad($"found entries for a {target?.GetType().Name ?? "None"}, expected a dictionary");
        for (int i = 0; i < pairs.Length; i += 2)
            dictionary[pairs[i] ?? DBNull.Value] = pairs[i + 1];
    }

    private readonly object? Recall(long key) => memo.TryGetValue(key, out object? value)
        ? value
        : throw Bad($"value {key} is recalled before it was kept");

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count > bytes.Length - at)
            throw Bad($"{count} bytes are needed, {bytes.Length - at} are left");
        at += count;
        return bytes.Slice(at - count, count);
    }

    /// <summary>A length field of so many bytes; never more than what is left.</summary>
    private int Length(int fieldBytes, int most = int.MaxValue)
    {
        ulong length = 0;
        ReadOnlySpan<byte> field = Take(fieldBytes);
        for (int i = fieldBytes - 1; i >= 0; i--)
            length = (length << 8) | field[i];
        if (length > (ulong)Math.Min(most, bytes.Length - at))
            throw Bad($"found a value of {length} bytes, {bytes.Length - at} are left");
        return (int)length;
    }

    private string Text(int length) => Encoding.UTF8.GetString(Take(length));

    private string Line()
    {
        int end = bytes[at..].IndexOf((byte)'\n');
        if (end < 0)
            throw Bad("a line does not end");
        string line = Text(end);
        at++;
        return line;
    }

    private static object Integer(ReadOnlySpan<byte> littleEndian)
    {
        var value = new BigInteger(littleEndian);
        return value >= long.MinValue && value <= long.MaxValue ? (object)(long)value : value;
    }

    private readonly MdmException Bad(string what) =>
        new(string.Create(CultureInfo.InvariantCulture, $"the pickle is damaged at byte {at}: {what}"));
}

using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>Writes the pickle (protocol 2) of a checkpoint: {state_dict: OrderedDict of tensors, then the metadata}, with no
/// instruction that the weights_only reader of PyTorch 1.13 does not know.</summary>
internal sealed class PickleWriter
{
    private readonly MemoryStream stream = new();

    /// <summary>The pickle; tensor number i refers to the storage with key i, counted through the metadata.</summary>
    /// <param name="tensors">The state dictionary.</param>
    /// <param name="metadata">Values: long, bool, string or <see cref="StoredTensor"/>.</param>
    public static byte[] Checkpoint(IEnumerable<StoredTensor> tensors, IEnumerable<KeyValuePair<string, object>> metadata)
    {
        var writer = new PickleWriter();
        writer.Codes("\u0080\u0002}("); // PROTO 2, EMPTY_DICT, MARK
        writer.Text("state_dict");
        writer.EmptyOrderedDict();
        writer.Codes("(");
        int key = 0;
        foreach (StoredTensor tensor in tensors)
        {
            writer.Text(tensor.Name);
            writer.Tensor(tensor, key++);
        }

        writer.Codes("u"); // SETITEMS
        foreach ((string name, object value) in metadata)
        {
            writer.Text(name);
            if (value is StoredTensor tensor)
                writer.Tensor(tensor, key++);
            else if (value is long number)
                writer.Integer(number);
            else if (value is bool flag)
                writer.Codes(flag ? "\u0088" : "\u0089"); // NEWTRUE, NEWFALSE
            else
                writer.Text((string)value);
        }

        writer.Codes("u."); // SETITEMS, STOP
        return writer.stream.ToArray();
    }

    /// <summary>_rebuild_tensor_v2(storage, 0, size, stride, requires_grad = False, hooks = OrderedDict()).</summary>
    private void Tensor(StoredTensor tensor, int key)
    {
        Codes("ctorch._utils\n_rebuild_tensor_v2\n((");
        Text("storage");
        Codes($"ctorch\n{TorchTypes.StorageOf(tensor.Type)}\n");
        Text(key.ToString(CultureInfo.InvariantCulture));
        Text("cpu");
        Integer(tensor.Count);
        Codes("tQ"); // TUPLE, BINPERSID
        Integer(0);
        Tuple(tensor.Shape);
        long[] strides = new long[tensor.Shape.Length];
        long stride = 1;
        for (int i = strides.Length - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride *= Math.Max(1, tensor.Shape[i]);
        }

        Tuple(strides);
        Codes("\u0089"); // NEWFALSE
        EmptyOrderedDict();
        Codes("tR"); // TUPLE, REDUCE
    }

    private void EmptyOrderedDict() => Codes("ccollections\nOrderedDict\n)R");

    private void Tuple(long[] values)
    {
        Codes("(");
        foreach (long value in values)
            Integer(value);
        Codes("t");
    }

    private void Integer(long value)
    {
        bool small = value is >= int.MinValue and <= int.MaxValue;
        Codes(small ? "J" : "\u008a\u0008"); // BININT, or LONG1 of 8 bytes
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        stream.Write(bytes[..(small ? 4 : 8)]);
    }

    private void Text(string value)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(value);
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(length, utf8.Length);
        Codes("X");
        stream.Write(length);
        stream.Write(utf8);
    }

    /// <summary>Instructions, one character a byte.</summary>
    private void Codes(string latin1) => stream.Write(Encoding.Latin1.GetBytes(latin1));
}

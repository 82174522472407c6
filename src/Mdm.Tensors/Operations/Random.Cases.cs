using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

/// <summary>What <see cref="RandomStream"/> draws, against a plain Philox.</summary>
internal static class RandomCases
{
    public static IEnumerable<OperationCase> All()
    {
        foreach ((Shape shape, ulong seed, ulong stream, int drawn) in new (Shape, ulong, ulong, int)[]
        {
            (new(1), 0, 0, 0), (new(2, 3, 5), 1, 2, 0), (new(1003), 0xdeadbeefcafef00d, 0x0123456789abcdef, 0),
            (new(77), 5, 6, 1001),
        })
        {
            // Only the shape of the operand matters.
            CaseInput like = Coefficients("like", shape);
            var key = new RandomKey(seed, stream);
            int n = (int)shape.Count, offset = (drawn + 3) / 4 * 4;
            string name = $"{shape}, seed {seed}, stream {stream}, after {drawn} draws";
            yield return OperationCase.Of("Uniform", name, [like], t => After(key, drawn).Uniform(t[0].Device, t[0].Shape),
                _ => PhiloxReference.Uniform(n, key, offset), 0);
            yield return OperationCase.Of("Normal", name, [like], t => After(key, drawn).Normal(t[0].Device, t[0].Shape),
                _ => PhiloxReference.Normal(n, key, offset));
        }
    }

    private static RandomStream After(RandomKey key, int drawn)
    {
        var stream = new RandomStream(key.Seed, key.Stream);
        stream.Take(drawn);
        return stream;
    }
}

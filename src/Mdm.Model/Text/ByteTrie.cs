namespace Mdm.Model.Text;

/// <summary>Byte strings with an id each, followed byte by byte from the root.</summary>
internal sealed class ByteTrie
{
    public const int Root = 0;

    // By Edge(state, byte): a plain number is hashed several times faster than a pair.
    private readonly Dictionary<long, int> edges = [];
    private readonly List<(int Token, bool Continues)> states = [(-1, false)];

    /// <summary>Adds a string; of equal ones the first keeps its id.</summary>
    public void Add(ReadOnlySpan<byte> bytes, int token)
    {
        int state = Root;
        foreach (byte b in bytes)
        {
            if (!edges.TryGetValue(Edge(state, b), out int next))
            {
                next = states.Count;
                edges.Add(Edge(state, b), next);
                states[state] = (states[state].Token, true);
                states.Add((-1, false));
            }

            state = next;
        }

        if (states[state].Token < 0)
            states[state] = (token, states[state].Continues);
    }

    /// <summary>The id of a whole string, or -1.</summary>
    public int Find(ReadOnlySpan<byte> bytes)
    {
        int state = Root;
        foreach (byte b in bytes)
            if ((state = Next(state, b)) < 0)
                return -1;
        return Token(state);
    }

    /// <summary>Length of the longest string that a text begins with; 0: none.</summary>
    public int LongestMatch(ReadOnlySpan<byte> text)
    {
        int longest = 0, state = Root;
        for (int i = 0; i < text.Length && (state = Next(state, text[i])) >= 0; i++)
            if (Token(state) >= 0)
                longest = i + 1;
        return longest;
    }

    /// <summary>The state after one more byte, or -1 where no string continues so.</summary>
    public int Next(int state, byte b) => edges.TryGetValue(Edge(state, b), out int next) ? next : -1;

    /// <summary>The id of the string that ends at a state, or -1.</summary>
    public int Token(int state) => states[state].Token;

    /// <summary>Whether a longer string goes on from a state.</summary>
    public bool Continues(int state) => states[state].Continues;

    private static long Edge(int state, byte b) => (long)state << 8 | b;
}

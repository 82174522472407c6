namespace Mdm.Model.Configuration;

/// <summary>Finds what somebody probably meant.</summary>
public static class NearestName
{
    /// <summary>The candidate with the fewest edits (insert, delete, replace, swap of neighbours) to <paramref name="name"/>,
    /// or null where none is near: at most two edits, or a third of a longer name.</summary>
    public static string? Find(string name, IEnumerable<string> candidates)
    {
        string wanted = Flat(name);
        string? best = null;
        int least = Math.Max(2, wanted.Length / 3) + 1;
        foreach (string candidate in candidates)
        {
            int distance = Distance(wanted, Flat(candidate), least);
            if (distance < least)
                (best, least) = (candidate, distance);
        }

        return best;
    }

    /// <summary>"; did you mean 'x'?" with the nearest candidate, or nothing.</summary>
    public static string Hint(string name, IEnumerable<string> candidates) =>
        Find(name, candidates) is { } nearest ? $"; did you mean '{nearest}'?" : "";

    /// <summary>Number of edits between two texts; <paramref name="limit"/> or more may be returned as the limit.</summary>
    internal static int Distance(string a, string b, int limit = int.MaxValue)
    {
        if (Math.Abs(a.Length - b.Length) >= limit)
            return limit;
        int[] before = new int[b.Length + 1], last = new int[b.Length + 1], row = new int[b.Length + 1];
        for (int j = 0; j <= b.Length; j++)
            last[j] = j;
        for (int i = 1; i <= a.Length; i++)
        {
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                row[j] = Math.Min(replace, 1 + Math.Min(last[j], row[j - 1]));
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                    row[j] = Math.Min(row[j], before[j - 2] + 1);
            }

            (before, last, row) = (last, row, before);
        }

        return last[b.Length];
    }

    private static string Flat(string name) => name.Replace('-', '_').ToLowerInvariant();
}

using System.Globalization;
using System.Text;

namespace Mdm.Model.Text;

/// <summary>Unicode's normalisation forms (Standard Annex 15) from a table of our own: .NET without ICU, which this program
/// does not need, returns text as it is.</summary>
internal static class UnicodeForms
{
    // Hangul syllables are an arithmetic of 19 leading consonants, 21 vowels and 27 trailing consonants or none.
    private const int FirstSyllable = 0xAC00, FirstLead = 0x1100, FirstVowel = 0x1161, BeforeTrail = 0x11A7;
    private const int Leads = 19, Vowels = 21, Trails = 28;

    private static readonly Lazy<Table> s_table = new(Table.Read);

    /// <summary>A text in one of the forms NFC, NFD, NFKC and NFKD.</summary>
    /// <param name="text">Without halves of surrogate pairs.</param>
    /// <param name="compatible">The forms with a K: look-alikes such as full-width letters are replaced.</param>
    /// <param name="compose">The forms with a C: marks are joined with their letters where one character exists.</param>
    public static string Normalize(string text, bool compatible, bool compose)
    {
        if (Ascii.IsValid(text))
            return text;
        Table table = s_table.Value;
        var characters = new List<int>(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
            Decompose(table, rune.Value, compatible, characters);
        OrderMarks(table, characters);
        if (compose)
            Compose(table, characters);
        var result = new StringBuilder(characters.Count);
        foreach (int character in characters)
            result.Append(new Rune(character).ToString());
        return result.ToString();
    }

    private static void Decompose(Table table, int character, bool compatible, List<int> result)
    {
        int syllable = character - FirstSyllable;
        if (syllable is >= 0 and < Leads * Vowels * Trails)
        {
            result.Add(FirstLead + syllable / (Vowels * Trails));
            result.Add(FirstVowel + syllable / Trails % Vowels);
            if (syllable % Trails > 0)
                result.Add(BeforeTrail + syllable % Trails);
        }
        else if ((compatible && table.Compatible.TryGetValue(character, out int[]? parts))
            || table.Canonical.TryGetValue(character, out parts))
            result.AddRange(parts);
        else
            result.Add(character);
    }

    // Marks in a row go by class; those of one class keep their order.
    private static void OrderMarks(Table table, List<int> characters)
    {
        for (int start = 0; start < characters.Count;)
        {
            int end = start;
            while (end < characters.Count && table.Class(characters[end]) > 0)
                end++;
            if (end - start > 1)
            {
                int[] ordered = [.. characters.GetRange(start, end - start).OrderBy(table.Class)];
                for (int i = 0; i < ordered.Length; i++)
                    characters[start + i] = ordered[i];
            }

            start = end + 1;
        }
    }

    private static void Compose(Table table, List<int> characters)
    {
        int kept = 0, starter = -1, lastClass = 0;
        for (int i = 0; i < characters.Count; i++)
        {
            int character = characters[i], markClass = table.Class(character);
            // A mark joins the starter unless one of the same or a higher class, or another starter, stands between.
            bool isOpen = starter >= 0 && (starter == kept - 1 || (lastClass > 0 && lastClass < markClass));
            if (isOpen && Pair(table, characters[starter], character) is { } composite)
            {
                characters[starter] = composite;
                continue;
            }

            if (markClass == 0)
                starter = kept;
            lastClass = markClass;
            characters[kept++] = character;
        }

        characters.RemoveRange(kept, characters.Count - kept);
    }

    private static int? Pair(Table table, int first, int second)
    {
        int lead = first - FirstLead, vowel = second - FirstVowel, syllable = first - FirstSyllable, trail = second - BeforeTrail;
        if (lead is >= 0 and < Leads && vowel is >= 0 and < Vowels)
            return FirstSyllable + (lead * Vowels + vowel) * Trails;
        if (syllable is >= 0 and < Leads * Vowels * Trails && syllable % Trails == 0 && trail is > 0 and < Trails)
            return first + trail;
        return table.Pairs.TryGetValue((first, second), out int composite) ? composite : null;
    }

    /// <summary>UnicodeForms.txt, which says at its top what its lines mean.</summary>
    private sealed record Table(Dictionary<int, int[]> Canonical, Dictionary<int, int[]> Compatible, Dictionary<int, int> Classes,
        Dictionary<(int, int), int> Pairs)
    {
        public int Class(int character) => Classes.GetValueOrDefault(character);

        public static Table Read()
        {
            var table = new Table([], [], [], []);
            using var reader = new StreamReader(typeof(UnicodeForms).Assembly.GetManifestResourceStream("UnicodeForms.txt")!);
            while (reader.ReadLine() is { } line)
            {
                if (line[0] == '#')
                    continue;
                int[] numbers = [.. line[2..].Split(' ')
                    .Select(code => int.Parse(code, NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
                switch (line[0])
                {
                    case 'D':
                        table.Canonical.Add(numbers[0], numbers[1..]);
                        break;
                    case 'K':
                        table.Compatible.Add(numbers[0], numbers[1..]);
                        break;
                    case 'M':
                        table.Classes.Add(numbers[0], numbers[1]);
                        break;
                    default:
                        table.Pairs.Add((numbers[0], numbers[1]), numbers[2]);
                        break;
                }
            }

            return table;
        }
    }
}

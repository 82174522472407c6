using Mdm.Model.Text;

namespace Mdm.Model.Tests.Text;

public class UnicodeFormsTests
{
    // Examples of Unicode Standard Annex 15 and of the rules' corners.
    [TestCase("plain", "plain", "plain", "plain", "plain")]
    [TestCase("\u212B", "\u00C5", "A\u030A", "\u00C5", "A\u030A", Description = "a single character that never stays")]
    [TestCase("\uFB01", "\uFB01", "\uFB01", "fi", "fi", Description = "a ligature")]
    [TestCase("2\u2075", "2\u2075", "2\u2075", "25", "25")]
    [TestCase("\u1E9B\u0323", "\u1E9B\u0323", "\u017F\u0323\u0307", "\u1E69", "s\u0323\u0307")]
    [TestCase("d\u0307\u0323", "\u1E0D\u0307", "d\u0323\u0307", "\u1E0D\u0307", "d\u0323\u0307", Description = "order of marks")]
    [TestCase("a\u0315\u0300\u05AE\u0300", "\u00E0\u05AE\u0300\u0315", "a\u05AE\u0300\u0300\u0315", "\u00E0\u05AE\u0300\u0315",
        "a\u05AE\u0300\u0300\u0315", Description = "marks of one class keep their order, the second is blocked")]
    [TestCase("\uAC01", "\uAC01", "\u1100\u1161\u11A8", "\uAC01", "\u1100\u1161\u11A8", Description = "Hangul")]
    [TestCase("\u1100\u1161\u11A7", "\uAC00\u11A7", "\u1100\u1161\u11A7", "\uAC00\u11A7", "\u1100\u1161\u11A7",
        Description = "one before the first trailing consonant")]
    [TestCase("\u0915\u093C", "\u0915\u093C", "\u0915\u093C", "\u0915\u093C", "\u0915\u093C", Description = "never composed")]
    [TestCase("\u0958", "\u0915\u093C", "\u0915\u093C", "\u0915\u093C", "\u0915\u093C")]
    [TestCase("\u0301a", "\u0301a", "\u0301a", "\u0301a", "\u0301a", Description = "a mark without a letter")]
    [TestCase("\U0001D15E", "\U0001D157\U0001D165", "\U0001D157\U0001D165", "\U0001D157\U0001D165", "\U0001D157\U0001D165")]
    [TestCase("\uFF21\u3000\uFF5E", "\uFF21\u3000\uFF5E", "\uFF21\u3000\uFF5E", "A ~", "A ~", Description = "full width")]
    public void Forms_are_those_of_the_standard(string text, string nfc, string nfd, string nfkc, string nfkd)
    {
        Assert.That(UnicodeForms.Normalize(text, compatible: false, compose: true), Is.EqualTo(nfc), "NFC");
        Assert.That(UnicodeForms.Normalize(text, compatible: false, compose: false), Is.EqualTo(nfd), "NFD");
        Assert.That(UnicodeForms.Normalize(text, compatible: true, compose: true), Is.EqualTo(nfkc), "NFKC");
        Assert.That(UnicodeForms.Normalize(text, compatible: true, compose: false), Is.EqualTo(nfkd), "NFKD");
    }

    [Test]
    public void The_longest_decomposition_is_whole() => Assert.That(UnicodeForms.Normalize("\uFDFA", compatible: true, compose: true),
        Is.EqualTo("\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064A\u0647 \u0648\u0633\u0644\u0645"));

    [Test]
    public void Forms_of_every_character_are_stable()
    {
        for (int code = 0; code < 0x30000; code++)
        {
            if (code is >= 0xD800 and < 0xE000)
                continue;
            string text = char.ConvertFromUtf32(code);
            foreach (bool compatible in new[] { false, true })
            {
                string composed = UnicodeForms.Normalize(text, compatible, compose: true);
                string apart = UnicodeForms.Normalize(text, compatible, compose: false);
                if (UnicodeForms.Normalize(composed, compatible, compose: true) != composed
                    || UnicodeForms.Normalize(apart, compatible, compose: true) != composed
                    || UnicodeForms.Normalize(composed, compatible, compose: false) != apart)
                    Assert.Fail($"U+{code:X4}, compatible {compatible}");
            }
        }
    }

    [Test]
    public void Thousands_of_marks_on_one_letter_are_ordered()
    {
        string text = "e" + string.Concat(Enumerable.Repeat("\u0301\u0323", 50_000));
        string expected = "\u1EB9" + new string('\u0323', 49_999) + new string('\u0301', 50_000);
        Assert.That(UnicodeForms.Normalize(text, compatible: true, compose: true), Is.EqualTo(expected));
    }
}

#!/usr/bin/env python3
"""Writes src/Mdm.Model/Text/UnicodeForms.txt, the table of Unicode's normalisation forms: the program runs without ICU,
where .NET leaves text as it is. Usage: python3 scripts/unicode_forms.py > src/Mdm.Model/Text/UnicodeForms.txt"""

import unicodedata


def codes(text):
    return " ".join(f"{ord(c):X}" for c in text)


def main():
    print(f"# Computed from the Unicode Character Database {unicodedata.unidata_version} by scripts/unicode_forms.py.")
    print("# Hangul syllables, which follow a rule, are left out. Code points in hexadecimal:")
    print("# D character, its canonical decomposition    K character, its compatibility decomposition where another")
    print("# M character, its combining class            P two characters and what they compose to")
    for code in range(0x110000):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or 0xAC00 <= code < 0xD7A4:
            continue
        canonical = unicodedata.normalize("NFD", character)
        compatible = unicodedata.normalize("NFKD", character)
        if canonical != character:
            print(f"D {code:X} {codes(canonical)}")
        if compatible != canonical:
            print(f"K {code:X} {codes(compatible)}")
        if unicodedata.combining(character):
            print(f"M {code:X} {unicodedata.combining(character):X}")
        single = unicodedata.decomposition(character)
        if single and not single.startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in single.split())
            if len(pair) == 2 and unicodedata.normalize("NFC", pair) == character:
                print(f"P {codes(pair)} {code:X}")


main()

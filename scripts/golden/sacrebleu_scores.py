"""The fixture of crates/tasks/src/text/measures, and a comparison over thousands of random cases.

Run by hand, with sacrebleu 2.6.0:

    python scripts/golden/sacrebleu_scores.py crates/tasks/fixtures/sacrebleu.json
    python scripts/golden/sacrebleu_scores.py --random 3000 target/debug/examples/mt_scores

The first writes the fixture. The second gives random cases to the example `mt_scores`, and prints the
largest deviation.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

SEPARATIONS = ["13a", "none", "char", "intl"]
SMOOTHINGS = ["exp", "floor", "add-k", "none"]

CASES = {
    "equal": (["The cat sat on the mat."], ["The cat sat on the mat."]),
    "nothing matches": (["green ideas sleep"], ["The cat sat on the mat."]),
    "empty translation": (["", "a b c d e"], ["The cat sat.", "a b c d e"]),
    "all translations empty": (["", ""], ["The cat sat.", "a b"]),
    "one word": (["cat"], ["cat"]),
    "two words": (["the cat"], ["the cat"]),
    "three words": (["the black cat"], ["the black dog"]),
    "short": (["the cat sat on"], ["the cat sat on the mat by the door"]),
    "long": (["the the the the the the the"], ["the cat is on the mat"]),
    "repeated": (["a a b b a a b b"], ["a b a b a b a b a"]),
    "points and commas": (["It costs 1,000.50 euros, no?"], ["It costs 1,000.5 euros, yes."]),
    "hyphens": (["a 5-year-old boy, 3-4 dogs"], ["a 5 year-old boy, 3 - 4 dogs"]),
    "quotes": (['He said: "No!" (twice)'], ["He said: 'No!' [twice]"]),
    "entities": (["Tom &amp; Jerry &lt;3 &quot;x&quot; &gt;"], ['Tom & Jerry <3 "x" >']),
    "double entity": (["a &amp;quot; b &amp;lt; c d e"], ["a \" b < c d e"]),
    "skipped": (["a <skipped> b c d", "co-\nop x y z"], ["a b c d", "coop x y z"]),
    "german": (
        ["Ein Mann mit einem orangefarbenen Hut starrt etwas an.", "Zwei Hunde, groß und klein."],
        ["Ein Mann mit einem orangen Hut, der etwas anstarrt.", "Zwei Hunde: groß & klein."],
    ),
    "french": (
        ["L'homme n'a pas vu « l'arbre ».", "Où est-elle ?"],
        ["L’homme n’a pas vu l’arbre.", "Où est-elle?"],
    ),
    "japanese": (["私は猫が好きです。", "これは本だ。"], ["私は猫が大好きです。", "それは本です。"]),
    "symbols": (["5€ + x² = 10£ ≠ ½©"], ["5 € + x2 = 10 £ ≠ 1/2"]),
    "white space": (["  a\tb \u00a0 c\u2003d\u3000e  "], ["a b c d e"]),
    "separators": (["a\x1cb c d\x1f"], ["a b c d"]),
    "combining": (["cafe\u0301 nai\u0308ve noe\u0308l de"], ["café naïve noël de"]),
    "emoji": (["ok 👍🏽 fine 👨‍👩‍👧 x y"], ["ok 👍 fine 👨‍👩‍👧 x z"]),
    "underscore": (["a_b snake_case `code` ~x^y a|b"], ["a_b snake_case code x^y a b"]),
    "points at the end": (["In 1999. In 2000, 3.", "etc... 4.."], ["In 1999 . In 2000 , 3 .", "etc. 4."]),
    "many sentences": (
        [f"the {i} cats sat on mat {i % 3}, by {i}.{i}" for i in range(30)],
        [f"the {i} dogs sat on mat {i % 4}, by {i},{i}." for i in range(30)],
    ),
}


def scored(name, hypotheses, references):
    bleu = []
    for separation in SEPARATIONS:
        for smoothing in SMOOTHINGS:
            metric = BLEU(tokenize=separation, smooth_method=smoothing, force=True)
            score = metric.corpus_score(hypotheses, [references]).score
            bleu.append([separation, smoothing, score, str(metric.get_signature())])
    chrf = CHRF()
    return {
        "name": name,
        "hypotheses": hypotheses,
        "references": references,
        "bleu": bleu,
        "chrf": chrf.corpus_score(hypotheses, [references]).score,
        "chrf_signature": str(chrf.get_signature()),
    }


def random_line(rng):
    letters = "aab bc .,-'\"!?()&;:<>/ 0123  äß€²½。、は猫\u00a0\n\t"
    words = ["the", "cat", "1.5", "3-4", "&amp;", "&quot;", "<skipped>", "don't", "a,b", "...", "x-\n"]
    parts = [rng.choice(words) if rng.random() < 0.5 else rng.choice(letters) for _ in range(rng.randrange(25))]
    return rng.choice(["", " "]).join(parts)


def altered(rng, line):
    characters = list(line)
    for _ in range(rng.randrange(4)):
        if characters:
            characters[rng.randrange(len(characters))] = rng.choice("ab .,1-")
    return "".join(characters)


def random_case(rng, name):
    references = [random_line(rng) for _ in range(rng.randrange(1, 5))]
    return scored(name, [altered(rng, line) for line in references], references)


def compare(count, program):
    rng = random.Random(0)
    cases = [random_case(rng, str(i)) for i in range(count)]
    found = subprocess.run([program], input=json.dumps(cases), capture_output=True, text=True, check=True)
    worst = {"bleu": 0.0, "chrf": 0.0}
    for case, scores in zip(cases, json.loads(found.stdout), strict=True):
        for (separation, smoothing, expected, _), score in zip(case["bleu"], scores["bleu"], strict=True):
            if abs(expected - score) > 1e-9:
                print("BLEU", separation, smoothing, expected, score, case["hypotheses"], case["references"])
            worst["bleu"] = max(worst["bleu"], abs(expected - score))
        worst["chrf"] = max(worst["chrf"], abs(case["chrf"] - scores["chrf"]))
    print(f"{count} cases, {16 * count} scores of BLEU; largest deviation {worst}")


def main():
    if sys.argv[1] == "--random":
        compare(int(sys.argv[2]), sys.argv[3])
    else:
        cases = [scored(name, *case) for name, case in CASES.items()]
        Path(sys.argv[1]).write_text(json.dumps(cases, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main()

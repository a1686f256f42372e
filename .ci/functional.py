"""functional.py LIST XML...: compares the tests that pass in the junit files with those that LIST says pass.

LIST holds a line `file class test` for each. Exit code 1 when a listed test of a file that ran does not pass.
"""
import pathlib
import sys
import xml.etree.ElementTree

FAILED = {"failure", "error", "skipped"}


def outcomes(path):
    """Each test of a junit file and whether every case of it passed."""
    passed = {}
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        test = (path.stem, case.get("classname", "").rsplit(".", 1)[-1], case.get("name", "").split(" [")[0])
        good = not any(child.tag in FAILED for child in case)
        passed[test] = passed.get(test, True) and good
    return passed


def main(listing, *reports):
    listed = {tuple(line.split(" ", 2)) for line in pathlib.Path(listing).read_text().splitlines() if line}
    passed, files = set(), set()
    for report in map(pathlib.Path, reports):
        files.add(report.stem)
        passed |= {test for test, good in outcomes(report).items() if good}
    lost = sorted(test for test in listed - passed if test[0] in files)
    for test in sorted(passed - listed):
        print("passes, add it to the list:", *test)
    for test in lost:
        print("LOST:", *test)
    print(f"{len(passed)} tests pass, {len(lost)} of the listed are lost")
    return 1 if lost or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""dev.release: what names the version, and what a release says about itself."""

from api.version import VERSION
from dev import release

CHANGELOG = """# Changelog

## [1.1.0] - unreleased

### Added

- A thing.

## [1.0.0] - 2027-01-15

- The first.
"""


def test_all_files_name_the_same_version() -> None:
    assert list(release.disagreements()) == []


def test_another_version_is_found_in_every_place() -> None:
    found = list(release.disagreements("9.9.9"))
    assert len(found) == len(release.PLACES)
    assert all(VERSION in line for line in found)


def test_only_a_version_with_a_date_in_the_changelog_can_be_released() -> None:
    assert list(release.tag_problems("v1.0.0", "1.0.0", CHANGELOG)) == []
    [wrong] = release.tag_problems("v1.0.0", "1.1.0", CHANGELOG.replace("unreleased", "2027-02-01"))
    assert wrong == "tag v1.0.0: the version is 1.1.0"
    [undated] = release.tag_problems("v1.1.0", "1.1.0", CHANGELOG)
    assert "## [1.1.0] - YYYY-MM-DD" in undated


def test_the_notes_are_the_versions_own_section() -> None:
    assert release.notes("1.0.0", CHANGELOG) == "- The first."
    assert release.notes("0.1.0", CHANGELOG) == "### Added\n\n- A thing."


def test_this_changelog_has_notes() -> None:
    changelog = (release.ROOT / "CHANGELOG.md").read_text()
    assert "### Added" in release.notes(VERSION, changelog)

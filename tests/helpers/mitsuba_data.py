"""Mitsuba's own test scenes (`mitsuba-renderer/mitsuba-data`), where they lie beside the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "mitsuba" / "tests" / "scenes"
MEDIA = "participating_media"  # the folder of scenes with media
SCENES = sorted(ROOT.glob("*/*.xml"))

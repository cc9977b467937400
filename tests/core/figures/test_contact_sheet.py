import numpy as np
import pytest
from PIL import Image

from core.figures import contact_sheet
from core.figures.drawing import write_figure


@pytest.mark.parametrize(
    ("n_frames", "shown"), [(6, (0, 2, 3, 5)), (4, (0, 1, 2, 3)), (2, (0, 0, 1, 1)), (1, (0, 0, 0, 0))]
)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contact_sheet__first_last_and_two_between(made_up, tmp_path, n_frames, shown, theme):
    inputs = made_up(n_frames=n_frames, theme=theme)
    write_figure(tmp_path, contact_sheet.FIGURE, inputs)
    frames = [np.asarray(Image.open(inputs.film / f"frames/{at:05d}.png").convert("RGB")) for at in shown]
    sheet = np.asarray(Image.open(tmp_path / "contact_sheet.png").convert("RGB"))
    assert np.array_equal(sheet, np.vstack([np.hstack(frames[:2]), np.hstack(frames[2:])]))

"""Send test pictures of digits to a server of models, one in a request, with the right answer afterwards: what clients do.

`python docs/examples/ask_digits.py` in the project's folder; `--inverted` sends them dark on light, as a new scanner might.
"""

from __future__ import annotations

import argparse
import os
from io import BytesIO
from pathlib import Path

import httpx
import pandas as pd
from PIL import Image, ImageOps


def main() -> None:
    """Print how many answers were right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:8080")
    parser.add_argument("--count", type=int, default=300, help="number of requests")
    parser.add_argument("--inverted", action="store_true", help="invert the grey levels")
    options = parser.parse_args()
    rows = pd.concat(map(pd.read_parquet, sorted(Path("data/vision/clean/rows").glob("part-*.parquet"))))
    drawn = rows[rows["split"] == "test"].sample(options.count, replace=True)
    token = os.environ.get("BONSAI_SERVE_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    right = 0
    with httpx.Client(base_url=options.address, headers=headers, timeout=60) as client:
        for picture, label in drawn[["image", "label"]].itertuples(index=False):
            content = inverted(picture) if options.inverted else picture
            response = client.post("/vision/predict/files", files={"files": ("digit.png", content)}).raise_for_status().json()
            right += response["answers"][0].get("predicted") == label
            client.post("/feedback", json={"request_id": response["request_id"], "label": label}).raise_for_status()
    print(f"{right} of {options.count} right, answered by {response['model']}")


def inverted(picture: bytes) -> bytes:
    """Light becomes dark."""
    file = BytesIO()
    ImageOps.invert(Image.open(BytesIO(picture)).convert("L")).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    main()

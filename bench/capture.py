"""Cost of capture: the stage `fine_tune`, compared with the same training and the same forward passes, each alone."""

import argparse
import statistics

from bench import training


def main(options: argparse.Namespace) -> None:
    training.training_alone()  # warm up
    rows = [
        (training.with_capture(), training.training_alone(), training.forward_passes_alone())
        for _ in range(options.repeats)
    ]
    print(
        "| repetition | with capture, s | training alone, s | forward passes alone, s | ratio |\n|---|---|---|---|---|"
    )
    for index, (captured, trained, forward) in enumerate(rows, start=1):
        ratio = captured / (trained + forward)
        print(f"| {index} | {captured:.2f} | {trained:.2f} | {forward:.2f} | {ratio:.3f} |")
    ratios = [captured / (trained + forward) for captured, trained, forward in rows]
    print(f"\nmedian ratio {statistics.median(ratios):.3f} (target: at most 1.15)")

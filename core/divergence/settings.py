"""Every threshold of the detectors in one place; the reasons stand with each detector."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DetectorSettings:
    """Frozen, so that a run is judged by one measure from its first to its last step."""

    # Of the run.
    grad_norm_alarm: float = 1e3
    """`grad_norm_high` above this norm (before clipping)."""
    stall_alarm_s: float = 60.0
    """Least silence that counts as a stall."""
    stall_median_steps: float = 10.0
    """A silence shorter than so many median steps is none."""
    scaled_gradients: bool = False
    """fp16 with a loss scaler: an infinite norm with a finite loss is how it finds its scale."""
    warmup_steps: int = 0
    """Of the schedule: nothing is judged by its level before they are over."""
    vocabulary: int | None = None
    """Rows of the output head; a loss of its logarithm is chance. None: not known."""

    # Non-finite numbers.
    non_finite_in_a_row: int = 3
    non_finite_in_window: int = 5
    non_finite_window: int = 100
    scaled_skips_in_a_row: int = 10

    # Spikes and outliers.
    spike_window: int = 128
    spike_min_values: int = 32
    spike_sigmas: float = 6.0
    spike_min_relative_sigma: float = 0.01
    """Sigma of the losses counts as at least this share of their mean."""
    spike_min_log_sigma: float = 0.1
    """Sigma of the logarithm of the norms counts as at least this."""
    outlier_norm_ratio: float = 10.0
    """An update is an outlier when its norm is also over so many times the median."""

    # Level of the loss: sustained divergence, change of data.
    fast_span_steps: float = 10.0
    """1 / (1 - beta) of the fast mean: beta 0.9."""
    fast_span_tokens: float = 2000.0
    """The fast mean covers at least so many target tokens ..."""
    fast_span_max_steps: float = 12.0
    """... but never more steps: who trains on a handful of tokens wants an alarm too."""
    slow_span_steps: float = 50.0
    """Of the slow mean, the lowest of which is the best level: beta 0.98."""
    noise_span_steps: float = 50.0
    winsor_sigmas: float = 3.0
    max_autocorrelation: float = 0.8
    noise_lag_steps: int = 30
    """A rise that begins looks like noise at first; the lowest of so many estimates counts."""
    spike_counts_as_rises: float = 6.0
    """A loss counts as no higher than the best level and so many times the rise that alarms."""
    rise_nats: float = 0.15
    """A rise of less than this is none."""
    rise_sigmas: float = 4.5
    """A rise of less than so many deviations of the fast mean is none."""
    patience_steps: int = 10
    calm_patience_steps: int = 20
    """With calm gradients nothing burns: what only asks may wait to be sure."""
    short_patience_steps: int = 5
    """After a `grad_norm_high`, and with a mean norm over `hot_norm_ratio` medians."""
    hot_norm_ratio: float = 4.0
    accept_level_steps: int = 200
    """A `level_shift` that lasts so long is the new level."""
    best_min_weight: float = 0.3
    """Of the slow mean, 0 to 1: the mean of a few losses is no best level."""
    level_min_steps: int = 20
    """Nothing is judged by its level before so many steps."""
    norm_span_steps: float = 4.0
    """Of the mean norm."""
    norm_lead_steps: int = 20
    """Gradients grow before the loss does: the mean norm counts from so many steps before."""
    calm_norm_ratio: float = 2.0
    """Gradients are calm while their mean norm stays under this multiple of the median before."""

    # Not learning.
    learning_grace_steps: int = 100
    """After the warm-up; then the loss should have fallen."""
    learning_min_nats: float = 0.02
    learning_from_step: int = 10
    """The level at this step is what the loss should have fallen from."""
    chance_share: float = 0.97
    """At this share of ln(vocabulary) and above, the model guesses."""

    # Zero or constant loss.
    zero_loss: float = 1e-4
    constant_steps: int = 5
    degenerate_steps: int = 3
    """Steps in a row without loss, gradient or target tokens."""
    min_trained_share: float = 0.005
    min_target_tokens: int = 8

    # Over-fitting.
    overfit_rises: int = 3
    overfit_nats: float = 0.02

    # The machine.
    creep_share: float = 0.02
    """Growth of memory in 100 steps."""
    creep_window_steps: int = 50
    creep_windows: int = 3
    """So many windows in a row have to grow."""
    creep_min_gib: float = 0.02
    throughput_share: float = 0.7
    throughput_steps: int = 50
    throughput_span_steps: float = 20.0
    throughput_window: int = 512

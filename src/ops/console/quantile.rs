//! Quantiles out of a histogram's buckets, estimated as Prometheus estimates them (`histogram_quantile`).

/// The quantile `q` (0 to 1) of the observations in these cumulative buckets: one count for each bound, and one for all.
/// Within a bucket they are taken to lie evenly; beyond the last bound it is the last bound. `None` without observations.
pub(super) fn quantile(q: f64, bounds: &[f64], cumulative: &[u64]) -> Option<f64> {
    let total = *cumulative.last()?;
    if total == 0 {
        return None;
    }
    let rank = q * as_number(total);
    let at = cumulative
        .iter()
        .position(|count| as_number(*count) >= rank)?;
    let Some(upper) = bounds.get(at) else {
        return bounds.last().copied();
    };
    let before = at.checked_sub(1);
    let lower = before.and_then(|at| bounds.get(at)).copied().unwrap_or(0.0);
    let below = before
        .and_then(|at| cumulative.get(at))
        .copied()
        .unwrap_or(0);
    let within = cumulative
        .get(at)
        .copied()
        .unwrap_or(below)
        .saturating_sub(below);
    let share = if within == 0 {
        0.0
    } else {
        (rank - as_number(below)) / as_number(within)
    };
    Some(lower + (upper - lower) * share)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of one process stay far below 2^53"
)]
pub(super) fn as_number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_estimates_as_prometheus_does() {
        let bounds = [0.1, 0.25, 0.5];
        // Ten within 0.1, ten within 0.25, none within 0.5, five beyond.
        let counts = [10, 20, 20, 25];
        let at = |q| quantile(q, &bounds, &counts).unwrap();
        assert!((at(0.2) - 0.05).abs() < 1e-9);
        assert!((at(0.6) - 0.175).abs() < 1e-9);
        assert!((at(0.99) - 0.5).abs() < 1e-9, "beyond the last bound");
        assert_eq!(quantile(0.5, &bounds, &[0, 0, 0, 0]), None);
        assert_eq!(quantile(0.5, &bounds, &[]), None);
    }
}

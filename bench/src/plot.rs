//! Core: a drawing of latencies (SVG): percentiles from left to right, microseconds upwards on a logarithmic scale, a line for each workload.

use crate::report::{PERCENTILES, Report};
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 480.0;
/// Around the drawing: room for numbers at the left and below, for names at the right.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Told apart by people who see red and green alike (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000"];

struct Axes {
    /// Logarithms of the lowest and the highest power of ten.
    low: f64,
    high: f64,
}

/// The drawing.
pub(crate) fn svg(report: &Report) -> String {
    let lines: Vec<(&str, Vec<f64>)> = report
        .outcomes
        .iter()
        .filter(|outcome| outcome.seen.requests() > 0)
        .map(|outcome| {
            let micros = PERCENTILES.iter().map(|(share, _)| outcome.seen.percentile_us(*share).max(0.1));
            (outcome.workload.as_str(), micros.collect())
        })
        .collect();
    let all = || lines.iter().flat_map(|(_, micros)| micros).map(|micros| micros.log10());
    let axes = Axes { low: all().fold(9.0, f64::min).floor(), high: all().fold(-1.0, f64::max).ceil() };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"24\">Latency in microseconds by percentile</text>\n"
    );
    axes.draw(&mut text);
    // Names side by side in the order of where their lines end.
    let mut lowest_name = HEIGHT;
    let mut order: Vec<_> = lines.iter().zip(COLOURS.iter().cycle()).collect();
    let end = |micros: &[f64]| micros.last().copied().unwrap_or(1.0);
    order.sort_by(|((_, one), _), ((_, other), _)| end(one).total_cmp(&end(other)));
    for ((name, micros), colour) in order {
        let points: Vec<String> = micros
            .iter()
            .enumerate()
            .map(|(place, &micros)| format!("{:.1},{:.1}", x(place), axes.y(micros.log10())))
            .collect();
        lowest_name = (axes.y(end(micros).log10()) + 4.0).min(lowest_name - 15.0);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n<text x=\"{:.1}\" y=\"{lowest_name:.1}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            WIDTH - RIGHT + 10.0
        );
    }
    text + "</svg>\n"
}

impl Axes {
    fn y(&self, logarithm: f64) -> f64 {
        let share = (logarithm - self.low) / (self.high - self.low).max(1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    fn draw(&self, text: &mut String) {
        let mut power = self.low;
        // Ends: at most ten powers of ten.
        while power <= self.high {
            let y = self.y(power);
            let _ = writeln!(
                text,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#cccccc\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                10_f64.powf(power)
            );
            power += 1.0;
        }
        for (place, (_, name)) in PERCENTILES.iter().enumerate() {
            let (x, y) = (x(place), HEIGHT - BOTTOM + 20.0);
            let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{name}</text>");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "one of five")]
fn x(place: usize) -> f64 {
    LEFT + 20.0 + place as f64 / (PERCENTILES.len() - 1) as f64 * (WIDTH - LEFT - RIGHT - 40.0)
}

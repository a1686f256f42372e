//! Driver: the line on a terminal that says how a load is getting on.

use super::{Run, Until};
use base::io;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::rc::Rc;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(500);

/// The line, wiped away when dropped.
pub(super) struct Line(());

/// Shows the line until the load is over; `None` when it has no label or nobody looks.
pub(super) fn show(run: &Rc<Run>) -> Option<Line> {
    let label = run.load.label.clone()?;
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let run = Rc::clone(run);
    // Not waited for: it ends by itself at its next look.
    drop(io::spawn(async move {
        loop {
            io::sleep(EVERY).await;
            if run.is_over.get() {
                break;
            }
            say(&text(&label, &run));
        }
    }));
    Some(Line(()))
}

impl Drop for Line {
    fn drop(&mut self) {
        say("");
    }
}

fn say(text: &str) {
    // A terminal that is gone takes no line.
    let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
}

fn text(label: &str, run: &Run) -> String {
    let mut seen = run.seen.borrow().clone();
    seen.elapsed = io::monotonic().since(run.start);
    let mut text = format!("{label}  {}", seen.requests());
    let _ = match run.load.until {
        Until::Requests(requests) => write!(text, " of {requests}"),
        Until::Elapsed(span) => write!(text, " in {:.0} of {:.0} s", seen.elapsed.as_secs_f64(), span.as_secs_f64()),
    };
    let [p50, p99] = [0.5, 0.99].map(|share| seen.percentile_us(share));
    let _ = write!(
        text,
        "  {:.0} req/s  {:.1} MiB/s  p50 {p50:.0} us  p99 {p99:.0} us  failed {}",
        seen.rate(),
        seen.mebibytes_per_second(),
        seen.failures
    );
    text
}

//! What the disk can do, by `fio` past the page cache, on a file beside the node's.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file `fio` reads, removed when dropped.
pub(super) struct Fio {
    file: PathBuf,
    bytes: u64,
}

impl Fio {
    /// Writes the file.
    pub(super) fn prepare(dir: &Path, bytes: u64) -> Result<Fio, String> {
        let fio = Fio { file: dir.join("fio"), bytes };
        fio.run(&["--rw=write", "--bs=1m", "--iodepth=4", "--end_fsync=1"])?;
        Ok(fio)
    }

    /// Random reads of 4 KiB a second, at this depth.
    pub(super) fn random_reads(&self, depth: u16) -> Result<f64, String> {
        let depth = format!("--iodepth={depth}");
        let report = self.run(&["--rw=randread", "--bs=4k", &depth, "--time_based", "--runtime=5"])?;
        Ok(read_figure(&report, "iops"))
    }

    /// Bytes a second, read in order.
    pub(super) fn sequential_bytes(&self) -> Result<f64, String> {
        let report = self.run(&["--rw=read", "--bs=1m", "--iodepth=4"])?;
        Ok(read_figure(&report, "bw_bytes"))
    }

    fn run(&self, words: &[&str]) -> Result<Value, String> {
        let mut command = Command::new("fio");
        command.args(["--name=martlet", "--ioengine=io_uring", "--direct=1", "--output-format=json"]);
        command.arg(format!("--filename={}", self.file.display())).arg(format!("--size={}", self.bytes)).args(words);
        let output = command.output().map_err(|error| format!("cannot run fio (Debian: apt install fio): {error}"))?;
        if !output.status.success() {
            return Err(format!("fio: {}", String::from_utf8_lossy(&output.stderr)));
        }
        // It may say something in front of the JSON.
        let text = String::from_utf8_lossy(&output.stdout);
        let json = text.find('{').and_then(|start| text.get(start..)).unwrap_or_default();
        serde_json::from_str(json).map_err(|error| format!("fio said no JSON: {error}"))
    }
}

impl Drop for Fio {
    #[expect(clippy::disallowed_methods, reason = "a tool, outside of any core")]
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn read_figure(report: &Value, name: &str) -> f64 {
    report.pointer(&format!("/jobs/0/read/{name}")).and_then(Value::as_f64).unwrap_or(0.0)
}

//! Core: what Linux tells under /proc, as `swift-recon` expects it.

use serde_json::{Map, Value, json};

/// `/proc/meminfo`: name → amount with its unit.
pub(super) fn memory(text: &str) -> Value {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Value::Object(pairs.map(|(name, amount)| (name.to_owned(), Value::from(amount.trim()))).collect())
}

/// `/proc/loadavg`.
pub(super) fn load(text: &str) -> Option<Value> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [one, five, fifteen, tasks, process] = words.as_slice() else { return None };
    let number = |word: &str| word.parse::<f64>().ok();
    let process = process.parse::<u64>().ok()?;
    Some(json!({
        "1m": number(one)?, "5m": number(five)?, "15m": number(fifteen)?, "tasks": tasks, "processes": process
    }))
}

/// `/proc/mounts`: device and path of each.
pub(super) fn mounts(text: &str) -> Value {
    let mount = |line: &str| {
        let mut words = line.split_whitespace();
        Some(json!({ "device": words.next()?, "path": words.next()? }))
    };
    text.lines().filter_map(mount).collect()
}

/// `/proc/net/sockstat` and `sockstat6`; memory is counted in pages there.
pub(super) fn sockets(text: &str, text6: &str, page_bytes: u64) -> Option<Value> {
    let mut told = Map::new();
    for line in text.lines().filter(|line| line.starts_with("TCP: inuse")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        told.insert("tcp_in_use".into(), number(2)?.into());
        told.insert("orphan".into(), number(4)?.into());
        told.insert("time_wait".into(), number(6)?.into());
        told.insert("tcp_mem_allocated_bytes".into(), number(10)?.saturating_mul(page_bytes).into());
    }
    for line in text6.lines().filter(|line| line.starts_with("TCP6: inuse")) {
        let in_use = line.split_whitespace().nth(2).and_then(|word| word.parse::<u64>().ok())?;
        told.insert("tcp6_in_use".into(), in_use.into());
    }
    Some(Value::Object(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_as_python_reads_them() {
        assert_eq!(
            memory("MemTotal:       24 kB\nHugePages_Total:     0\n"),
            json!({ "MemTotal": "24 kB", "HugePages_Total": "0" })
        );
        assert_eq!(
            load("0.25 1.50 12.00 3/200 15591\n"),
            Some(json!({ "1m": 0.25, "5m": 1.5, "15m": 12.0, "tasks": "3/200", "processes": 15591 }))
        );
        assert_eq!(
            mounts("/dev/sda1 /srv/node/sda1 xfs rw 0 0\nproc /proc proc rw 0 0\n"),
            json!([{ "device": "/dev/sda1", "path": "/srv/node/sda1" }, { "device": "proc", "path": "/proc" }])
        );
        let text = "sockets: used 31\nTCP: inuse 2 orphan 1 tw 96 alloc 2 mem 138\nUDP: inuse 0 mem 0\n";
        assert_eq!(
            sockets(text, "TCP6: inuse 5\n", 4096),
            Some(json!({ "tcp_in_use": 2, "orphan": 1, "time_wait": 96, "tcp_mem_allocated_bytes": 565_248,
                "tcp6_in_use": 5 }))
        );
        assert_eq!(sockets("", "", 4096), Some(json!({})));
    }

    #[test]
    fn a_file_of_another_form_is_no_answer() {
        assert_eq!(load("0.25 1.50\n"), None);
        assert_eq!(load("a b c d e\n"), None);
        assert_eq!(sockets("TCP: inuse 2\n", "", 4096), None);
        assert_eq!(sockets("", "TCP6: inuse many\n", 4096), None);
    }
}

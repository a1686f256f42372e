//! Whole commands against files in a directory of their own.

#![expect(clippy::disallowed_methods, reason = "tests look at the files that commands leave")]

use super::*;

struct Bench {
    directory: tempfile::TempDir,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), now: 1_700_000_000 }
    }
    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }
    /// Status, stdout with the directory left out, stderr.
    fn run(&self, command: &str) -> (i32, String, String) {
        self.run_with_answer(command, "")
    }
    fn run_with_answer(&self, command: &str, answer: &str) -> (i32, String, String) {
        let mut args = vec![self.path("o.builder")];
        args.extend(command.split_whitespace().map(str::to_owned));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut input = answer.as_bytes();
        let status = Session::new(args, &mut input, &mut out, &mut err, self.now).run();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&self.path(""), "");
        (status, text(out), text(err))
    }
    fn ok(&self, command: &str) -> String {
        let (status, out, _) = self.run(command);
        assert_eq!(status, SUCCESS, "{command}: {out}");
        out
    }
    fn three_devices(&self) {
        self.ok("create 6 3 1");
        self.ok("add r1z1-127.0.0.1:6200/d1 100 r1z2-127.0.0.1:6201R127.0.0.2:6301/d2_hello 100");
        self.ok("add r1z3-127.0.0.1:6202/d3 50");
    }
}

#[test]
fn a_new_builder_shows_what_swift_shows() {
    let bench = Bench::new();
    bench.ok("create 6 3 1");
    let out = bench.ok("");
    let id = Builder::from_bytes(&std::fs::read(bench.path("o.builder")).unwrap()).unwrap().id.unwrap();
    assert_eq!(
        out,
        format!(
            "o.builder, build version 0, id {id}\n\
             64 partitions, 3.000000 replicas, 0 regions, 0 zones, 0 devices, 2-byte IDs, 0.00 balance, 0.00 dispersion\n\
             The minimum number of hours before a partition can be reassigned is 1 (0:00:00 remaining)\n\
             The overload factor is 0.00% (0.000000)\n\
             Ring file o.ring.gz not found, probably it hasn't been written yet\n\
             Devices:   id region zone ip address:port replication ip:port  name weight partitions balance flags meta\n\
             There are no devices in this ring, or all devices have been deleted\n"
        )
    );
}

#[test]
fn add_rebalance_and_show_print_what_swift_prints() {
    let bench = Bench::new();
    bench.ok("create 6 3 1");
    let (_, out, err) = bench.run("add r1z1-127.0.0.1:6200/d1 100 z2-127.0.0.1:6201R127.0.0.2:6301/d2_hello 100");
    assert_eq!(
        out,
        "Device d0r1z1-127.0.0.1:6200R127.0.0.1:6200/d1_\"\" with 100.0 weight got id 0\n\
         Device d1r1z2-127.0.0.1:6201R127.0.0.2:6301/d2_\"hello\" with 100.0 weight got id 1\n"
    );
    assert!(err.starts_with("WARNING: No region specified for z2-127.0.0.1:6201R"));
    bench.ok("add r1z3-127.0.0.1:6202/d3 50");
    let (status, out, _) = bench.run("rebalance");
    assert_eq!(status, WARNING);
    assert!(
        out.contains("Reassigned 192 (300.00%) partitions. Balance is now 66.67.  Dispersion is now 0.00\n")
            && out
                .contains("NOTE: Balance of 66.67 indicates you should push this \n      ring, wait at least 1 hours"),
        "{out}"
    );
    let (status, out, _) = bench.run("rebalance --format-version 1");
    assert_eq!(status, WARNING);
    assert_eq!(
        out,
        "No partitions could be reassigned.\nThe time between rebalances must be at least min_part_hours: 1 hours \
         (1:00:00 remaining)\n"
    );
    let shown = bench.ok("");
    assert!(
        shown.ends_with(
            "The minimum number of hours before a partition can be reassigned is 1 (1:00:00 remaining)\n\
             The overload factor is 0.00% (0.000000)\n\
             Ring file o.ring.gz is up-to-date\n\
             Devices:   id region zone ip address:port replication ip:port  name weight partitions balance flags meta\n\
             \u{20}           0      1    1  127.0.0.1:6200      127.0.0.1:6200    d1 100.00         64  -16.67       \n\
             \u{20}           1      1    2  127.0.0.1:6201      127.0.0.2:6301    d2 100.00         64  -16.67       hello\n\
             \u{20}           2      1    3  127.0.0.1:6202      127.0.0.1:6202    d3  50.00         64   66.67       \n"
        ),
        "{shown}"
    );
    assert!(shown.contains("build version 4,"), "{shown}");
    bench.ok("validate");
}

#[test]
fn search_and_list_parts_print_tables() {
    let bench = Bench::new();
    bench.three_devices();
    bench.run("rebalance");
    assert_eq!(
        bench.ok("search z1"),
        "Devices:    id  region  zone      ip address  port  replication ip  replication port      name weight partitions balance meta\n\
         \u{20}            0       1     1       127.0.0.1  6200       127.0.0.1              6200        d1 100.00         64  -16.67 \n"
    );
    assert_eq!(bench.ok("search --region 1 --device d3").lines().count(), 2);
    assert_eq!(bench.run("search z9"), (ERROR, "No matching devices found\n".to_owned(), String::new()));
    let parts = bench.ok("list_parts z1");
    assert!(parts.starts_with("Partition   Matches\n        0         1\n        1         1\n"), "{parts}");
    assert!(bench.ok("list_parts r1").contains("\n        0         3\n"));
}

#[test]
fn changes_are_said_in_swifts_words() {
    let bench = Bench::new();
    bench.three_devices();
    let later = "The change will take effect after the next rebalance.\n";
    let name = "d0r1z1-127.0.0.1:6200R127.0.0.1:6200/d1_\"\"";
    assert_eq!(bench.ok("set_weight d0 10"), format!("{name} weight set to 10.0\n"));
    assert_eq!(bench.ok("set_replicas 2"), format!("The replica count is now 2.000000.\n{later}"));
    assert_eq!(bench.ok("set_overload 10%"), format!("The overload factor is now 10.00% (0.100000)\n{later}"));
    assert_eq!(bench.run("set_overload 3").0, WARNING);
    assert_eq!(
        bench.ok("set_min_part_hours 2"),
        "The minimum number of hours before a partition can be reassigned is now set to 2\n"
    );
    assert_eq!(bench.ok("pretend_min_part_hours_passed"), "");
    assert_eq!(bench.ok("remove d0"), format!("{name} marked for removal and will be removed next rebalance.\n"));
    assert!(bench.ok("").contains("  DEL "));
    bench.ok("rebalance -f");
    assert!(!bench.ok("").contains("  DEL "));
    assert_eq!(
        bench.ok("set_info d1 10.0.0.9:1/x_new"),
        "Device d1r1z2-127.0.0.1:6201R127.0.0.2:6301/d2_\"hello\" is now d1r1z2-10.0.0.9:1R127.0.0.2:6301/x_\"new\"\n"
    );
}

#[test]
fn a_refused_command_leaves_the_builder_alone() {
    let bench = Bench::new();
    bench.three_devices();
    let before = std::fs::read(bench.path("o.builder")).unwrap();
    for command in [
        "add r1z1-127.0.0.1:6200/d1 100",
        "add r1z1-127.0.0.9:6200/d9",
        "add r1z1-127.0.0.9:6200/d9 -5",
        "add r1z1-host:6200/d9 1",
        "set_weight d9 1",
        "set_weight r1 1",
        "remove z9",
        "set_replicas 0.5",
        "set_replicas many",
        "set_overload -1",
        "nonsense",
        "rebalance --format-version 9",
        "search --nonsense 1",
    ] {
        assert_eq!(bench.run(command).0, ERROR, "{command}");
        assert_eq!(std::fs::read(bench.path("o.builder")).unwrap(), before, "{command}");
    }
    assert_eq!(
        bench.run("add r1z1-127.0.0.1:6200/d1 100").1.lines().next(),
        Some("Device 0 already uses 127.0.0.1:6200/d1.")
    );
    assert_eq!(bench.run("nonsense").1, "Unknown command: nonsense\n");
    assert_eq!(bench.run_with_answer("set_weight r1 70", "n\n").0, ERROR);
    assert_eq!(std::fs::read(bench.path("o.builder")).unwrap(), before);
    assert_eq!(bench.run_with_answer("set_weight r1 70", "y\n").0, SUCCESS);
    bench.ok("set_weight --yes r1 80");
}

#[test]
fn what_is_not_there_is_named() {
    let bench = Bench::new();
    assert_eq!(bench.run(""), (ERROR, "Ring Builder file does not exist: o.builder\n".to_owned(), String::new()));
    std::fs::write(bench.path("o.builder"), "nonsense").unwrap();
    let (status, out, _) = bench.run("");
    assert!(status == ERROR && out.starts_with("Problem occurred while reading builder file: o.builder. "), "{out}");
}

#[test]
fn one_seed_gives_one_ring_and_every_ring_is_backed_up() {
    let rings = [1, 2].map(|_| {
        let bench = Bench::new();
        bench.three_devices();
        bench.run("rebalance --seed 42");
        let names = std::fs::read_dir(bench.path("backups")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["1700000000.o.builder", "1700000000.o.ring.gz"]);
        let ring = std::fs::read(bench.path("o.ring.gz")).unwrap();
        bench.ok("write_ring --format-version=2");
        let version = bench.ok("version");
        assert_eq!(version, "o.ring.gz: Serialization version: 2 (2-byte IDs), build version: 4\n");
        ring
    });
    assert_eq!(rings[0], rings[1]);
}

#[test]
fn dispersion_names_the_worst_tier() {
    let bench = Bench::new();
    bench.ok("create 6 3 1");
    assert_eq!(bench.run("dispersion").0, ERROR);
    bench.ok("add r1z1-127.0.0.1:1/a 100 r1z1-127.0.0.1:1/b 100 r1z2-127.0.0.2:1/c 100 r1z3-127.0.0.3:1/d 10");
    bench.run("rebalance");
    let (status, out, _) = bench.run("dispersion");
    assert!(status == WARNING && out.contains("(r1z1)"), "{out}");
}

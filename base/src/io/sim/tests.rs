//! The simulator's own promises, each tried with many seeds.

mod datagrams;
mod steps;
mod volumes;

use super::*;
use crate::io::kv::{Kv, Read, Table};
use crate::io::task::yield_now;
use crate::io::{Listener, Stream, fs, sleep, spawn, timeout};
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;

const SECOND: Duration = Duration::from_secs(1);

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::new(ip(last), 6200)
}

/// Sends back what it gets, over each of its connections.
async fn echo() {
    let listener = Listener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 6200), false).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        spawn(async move {
            loop {
                let (result, buffer) = stream.read(BytesMut::with_capacity(4096)).await;
                match result {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {
                        if stream.write_all(buffer.freeze()).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
    }
}

async fn read_exactly(stream: &Stream, length: usize) -> io::Result<Vec<u8>> {
    let mut got = Vec::new();
    while got.len() < length {
        let (result, buffer) = stream.read(BytesMut::with_capacity(length - got.len())).await;
        if result? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        got.extend_from_slice(&buffer);
    }
    Ok(got)
}

fn noisy() -> SimOptions {
    SimOptions {
        stall_chance: 0.02,
        lost_chance: 0.01,
        reset_chance: 0.02,
        slow_disk_chance: 0.05,
        ..Default::default()
    }
}

/// A bit of everything; gives the trace's hash.
fn busy_run(seed: u64) -> (u64, u64) {
    let sim = Sim::new(seed, noisy());
    let server = sim.node("server", ip(2));
    sim.start(server, echo);
    let handle = sim.handle();
    sim.run(async move {
        for round in 0..10_u8 {
            let attempt = async {
                let stream = Stream::connect(address(2), SECOND).await?;
                stream.write_all(Bytes::from(vec![round; 10_000])).await?;
                read_exactly(&stream, 10_000).await
            };
            if let Ok(Ok(got)) = timeout(3 * SECOND, attempt).await {
                assert_eq!(got, vec![round; 10_000]);
            }
            let path = format!("/d/{round}");
            fs::create_dir_all(Path::new("/d")).await.unwrap();
            fs::write_atomic(Path::new(&path), vec![round], 0o600).await.unwrap();
            if handle.random(|random| random.chance(0.3)) {
                handle.crash(server);
                sleep(SECOND).await;
                handle.start(server, echo);
            }
        }
    });
    assert_eq!(sim.panics(), Vec::<String>::new());
    (sim.trace_hash(), sim.trace_events())
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let mut hashes = BTreeSet::new();
    for seed in 0..50 {
        let first = busy_run(seed);
        assert_eq!(first, busy_run(seed), "seed {seed}");
        hashes.insert(first.0);
    }
    assert_eq!(hashes.len(), 50, "every seed is a run of its own");
}

#[test]
fn time_moves_only_when_nothing_is_ready() {
    let sim = Sim::new(1, SimOptions::default());
    let handle = sim.handle();
    sim.run(async move {
        let start = handle.elapsed();
        for _ in 0..1000 {
            yield_now().await;
        }
        assert_eq!(handle.elapsed(), start);
        sleep(3600 * SECOND).await;
        assert_eq!(handle.elapsed(), start + 3600 * SECOND);
    });
}

#[test]
fn ready_tasks_run_in_different_orders() {
    let order = |seed| {
        let sim = Sim::new(seed, SimOptions::default());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let shared = Rc::clone(&seen);
        sim.run(async move {
            let tasks: Vec<_> = (0..5)
                .map(|number| {
                    let seen = Rc::clone(&shared);
                    spawn(async move { seen.borrow_mut().push(number) })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        seen.take()
    };
    let orders: BTreeSet<Vec<i32>> = (0..50).map(order).collect();
    assert!(orders.len() > 20, "only {} orders", orders.len());
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_deadlock_is_told() {
    Sim::new(1, SimOptions::default()).run(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "too many steps")]
fn a_loop_without_waiting_is_told() {
    let options = SimOptions { steps_max: 1000, ..Default::default() };
    Sim::new(1, options).run(async {
        loop {
            yield_now().await;
        }
    });
}

#[test]
fn a_panic_ends_its_task_only() {
    let sim = Sim::new(1, SimOptions::default());
    let outcome = sim.run(async { spawn(async { assert!(Cell::new(1).get() == 2, "as planned") }).await });
    assert_eq!(outcome, None);
    assert!(sim.panics()[0].contains("as planned"));
}

#[test]
fn a_crash_drops_tasks_and_the_others_learn_it() {
    let sim = Sim::new(1, SimOptions::default());
    let node = sim.node("node", ip(2));
    let handle = sim.handle();
    sim.run(async move {
        handle.start(node, std::future::pending);
        let dropped = Rc::new(Cell::new(false));
        struct Flag(Rc<Cell<bool>>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let flag = Flag(Rc::clone(&dropped));
        let waiting = handle.run_on(node, async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        });
        let crash = async {
            sleep(SECOND).await;
            handle.crash(node);
            std::future::pending::<()>().await;
        };
        let mut both = (Box::pin(waiting), Box::pin(crash));
        let outcome = std::future::poll_fn(move |context| {
            let _ = both.1.as_mut().poll(context);
            both.0.as_mut().poll(context)
        })
        .await;
        assert_eq!(outcome, None);
        assert!(dropped.get());
    });
}

#[test]
fn bytes_arrive_whole_and_in_order_through_small_buffers() {
    for seed in 0..50 {
        let options = SimOptions { stream_buffer: 1000, split_chance: 0.5, ..Default::default() };
        let sim = Sim::new(seed, options);
        let server = sim.node("server", ip(2));
        sim.start(server, echo);
        sim.run(async {
            sleep(SECOND).await;
            let stream = Stream::connect(address(2), SECOND).await.unwrap();
            let sent: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
            let (writer, bytes) = (stream.clone(), Bytes::from(sent.clone()));
            let writing = spawn(async move { writer.write_all(bytes).await });
            assert_eq!(read_exactly(&stream, sent.len()).await.unwrap(), sent);
            writing.await.unwrap().unwrap();
            stream.shutdown_write().await.unwrap();
            assert_eq!(stream.read(BytesMut::with_capacity(1)).await.0.unwrap(), 0);
        });
    }
}

#[test]
fn nobody_listening_refuses_and_nobody_there_times_out() {
    let sim = Sim::new(1, SimOptions { silent_crash_chance: 1.0, ..Default::default() });
    let idle = sim.node("idle", ip(2));
    let dead = sim.node("dead", ip(3));
    sim.start(idle, std::future::pending);
    sim.start(dead, echo);
    let handle = sim.handle();
    sim.run(async move {
        let kind = |result: io::Result<Stream>| result.map(|_| ()).unwrap_err().kind();
        sleep(SECOND).await;
        assert_eq!(kind(Stream::connect(address(2), SECOND).await), io::ErrorKind::ConnectionRefused);
        let half_open = Stream::connect(address(3), SECOND).await.unwrap();
        handle.crash(dead);
        let before = handle.elapsed();
        assert_eq!(kind(Stream::connect(address(3), SECOND).await), io::ErrorKind::TimedOut);
        assert_eq!(handle.elapsed() - before, SECOND);
        assert!(timeout(60 * SECOND, half_open.read(BytesMut::with_capacity(1))).await.is_err(), "silence");
        handle.start(dead, echo);
        sleep(SECOND).await;
        assert!(Stream::connect(address(3), SECOND).await.is_ok());
    });
}

#[test]
fn a_loud_crash_resets_and_a_silent_one_resets_once_the_node_is_back() {
    for silent in [false, true] {
        let chance = if silent { 1.0 } else { 0.0 };
        let sim = Sim::new(1, SimOptions { silent_crash_chance: chance, ..Default::default() });
        let server = sim.node("server", ip(2));
        sim.start(server, echo);
        let handle = sim.handle();
        sim.run(async move {
            sleep(SECOND).await;
            let stream = Stream::connect(address(2), SECOND).await.unwrap();
            handle.crash(server);
            if silent {
                stream.write_all(Bytes::from_static(b"anyone?")).await.unwrap();
                sleep(SECOND).await;
                handle.start(server, echo);
            }
            let read = timeout(SECOND, stream.read(BytesMut::with_capacity(1))).await.unwrap();
            assert_eq!(read.0.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        });
    }
}

#[test]
fn a_partition_holds_bytes_back_until_it_ends() {
    for seed in 0..20 {
        let sim = Sim::new(seed, SimOptions::default());
        let server = sim.node("server", ip(2));
        sim.start(server, echo);
        let handle = sim.handle();
        sim.run(async move {
            sleep(SECOND).await;
            let stream = Stream::connect(address(2), SECOND).await.unwrap();
            handle.partition(CLIENT, server, true);
            stream.write_all(Bytes::from_static(b"hello")).await.unwrap();
            assert!(Stream::connect(address(2), SECOND).await.is_err());
            sleep(10 * SECOND).await;
            handle.partition(CLIENT, server, false);
            let got = timeout(SECOND, read_exactly(&stream, 5)).await.unwrap().unwrap();
            assert_eq!(got, b"hello");
        });
    }
}

#[test]
fn an_unfinished_read_breaks_the_connection() {
    let sim = Sim::new(1, SimOptions::default());
    let server = sim.node("server", ip(2));
    sim.start(server, echo);
    sim.run(async {
        sleep(SECOND).await;
        let stream = Stream::connect(address(2), SECOND).await.unwrap();
        assert!(timeout(SECOND, stream.read(BytesMut::with_capacity(10))).await.is_err());
        assert!(stream.write_all(Bytes::from_static(b"x")).await.is_err());
        assert!(stream.read(BytesMut::with_capacity(10)).await.0.is_err());
    });
}

#[test]
fn shutdown_ends_a_read_in_flight() {
    let sim = Sim::new(1, SimOptions::default());
    let server = sim.node("server", ip(2));
    sim.start(server, echo);
    sim.run(async {
        sleep(SECOND).await;
        let stream = Stream::connect(address(2), SECOND).await.unwrap();
        let reader = stream.clone();
        let reading = spawn(async move { reader.read(BytesMut::with_capacity(10)).await.0 });
        sleep(SECOND).await;
        stream.shutdown();
        assert_eq!(reading.await.unwrap().unwrap(), 0);
    });
}

#[test]
fn a_port_belongs_to_one_listener_unless_shared() {
    let sim = Sim::new(1, SimOptions::default());
    sim.run(async {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 80);
        let first = Listener::bind(any, false).unwrap();
        assert_eq!(Listener::bind(any, true).map(|_| ()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let (_a, _b) = (Listener::bind(any, true).unwrap(), Listener::bind(any, true).unwrap());
        assert!(Listener::bind(address(9), false).is_err(), "not our ip");
    });
}

/// Runs `work` on a node, cuts its power at a random time within `span`, and gives what `look` sees after a restart.
fn after_crash<T: 'static, W, L>(seed: u64, span: Duration, work: fn() -> W, look: fn() -> L) -> T
where
    W: Future<Output = ()> + 'static,
    L: Future<Output = T> + 'static,
{
    after_crash_of(Defects::default(), seed, span, work, look)
}

fn after_crash_of<T: 'static, W, L>(defects: Defects, seed: u64, span: Duration, work: fn() -> W, look: fn() -> L) -> T
where
    W: Future<Output = ()> + 'static,
    L: Future<Output = T> + 'static,
{
    let sim = Sim::new(seed, SimOptions::default());
    let node = sim.node("node", ip(2));
    sim.set_defects(node, defects);
    sim.start(node, work);
    let handle = sim.handle();
    sim.run(async move {
        let span = u64::try_from(span.as_nanos()).unwrap();
        sleep(Duration::from_nanos(handle.random(|random| random.between(0, span)))).await;
        handle.crash(node);
        handle.start(node, std::future::pending);
        handle.run_on(node, look()).await.unwrap()
    })
}

const NO_SYNCS: Defects = Defects { skip_file_syncs: true, skip_dir_syncs: true };
const WHOLE: [u8; 5000] = [7; 5000];

async fn publish() {
    fs::create_dir_all(Path::new("/d/e")).await.unwrap();
    let mut file = fs::TempFile::create(Path::new("/d/e")).await.unwrap();
    file.append(Bytes::from_static(&WHOLE)).await.unwrap();
    let xattrs = vec![("user.meta".to_owned(), b"m".to_vec())];
    let target = Path::new("/d/e/f");
    file.publish(target, xattrs).await.unwrap();
    fs::create_dir_all(Path::new("/done")).await.unwrap();
    std::future::pending().await
}

/// Whether the work was finished, and what the file holds: nothing, all, or something else.
async fn look_at_published() -> (bool, Option<bool>) {
    let is_done = fs::metadata(Path::new("/done")).await.is_ok();
    let Ok(file) = fs::File::open(Path::new("/d/e/f")).await else { return (is_done, None) };
    let is_whole = file.read_at(0, 9999).await.unwrap() == WHOLE[..]
        && file.xattr("user.meta").await.unwrap() == Some(b"m".to_vec());
    (is_done, Some(is_whole))
}

#[test]
fn what_was_published_survives_and_is_whole() {
    let (mut before, mut after) = (0, 0);
    for seed in 0..300 {
        match after_crash(seed, Duration::from_millis(5), publish, look_at_published) {
            (true, Some(true)) => after += 1,
            (false, None) => before += 1,
            (false, Some(true)) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(before > 20 && after > 20, "crashes come before and after: {before} {after}");
}

#[test]
fn what_was_not_synced_may_be_lost_torn_or_there() {
    let outcomes: BTreeSet<_> = (0..300)
        .map(|seed| after_crash_of(NO_SYNCS, seed, Duration::from_millis(5), publish, look_at_published))
        .filter(|outcome| outcome.0)
        .collect();
    assert!(outcomes.contains(&(true, None)), "lost");
    assert!(outcomes.contains(&(true, Some(false))), "torn");
    assert!(outcomes.contains(&(true, Some(true))), "there");
}

#[test]
fn an_unsynced_rename_happened_or_did_not() {
    async fn work() {
        fs::write_atomic(Path::new("/a"), vec![1], 0o600).await.unwrap();
        fs::write_atomic(Path::new("/b"), vec![2], 0o600).await.unwrap();
        fs::rename(Path::new("/a"), Path::new("/b")).await.unwrap();
        std::future::pending().await
    }
    async fn look() -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        (fs::read(Path::new("/a"), 9).await.ok(), fs::read(Path::new("/b"), 9).await.ok())
    }
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let found = after_crash(seed, Duration::from_secs(1), work, look);
        seen.insert(found);
    }
    let expected = [(Some(vec![1]), Some(vec![2])), (None, Some(vec![1]))];
    assert!(seen.is_subset(&expected.iter().cloned().chain([(None, None), (Some(vec![1]), None)]).collect()));
    assert!(expected.iter().all(|outcome| seen.contains(outcome)), "{seen:?}");
}

#[test]
fn files_directories_and_their_errors_are_as_on_a_real_disk() {
    let sim = Sim::new(1, SimOptions { disk_capacity: 100_000, ..Default::default() });
    sim.mount(CLIENT, Path::new("/m"));
    sim.run(async {
        let kind = |error: io::Error| error.kind();
        let at = Path::new;
        fs::create_dir_all(at("/a/b")).await.unwrap();
        fs::create_dir_all(at("/m")).await.unwrap();
        assert!(fs::is_mount(at("/m")).await.unwrap() && !fs::is_mount(at("/a")).await.unwrap());
        assert_eq!(fs::read(at("/a/x"), 9).await.map_err(kind), Err(io::ErrorKind::NotFound));
        fs::write_atomic(at("/a/x"), vec![1, 2, 3], 0o600).await.unwrap();
        assert_eq!(fs::read(at("/a/x"), 2).await.map_err(kind), Err(io::ErrorKind::FileTooLarge));
        let names: Vec<_> = fs::read_dir(at("/a")).await.unwrap().into_iter().map(|e| (e.name, e.is_dir)).collect();
        assert_eq!(names, [("b".to_owned(), true), ("x".to_owned(), false)]);
        assert_eq!(fs::remove_dir(at("/a")).await.map_err(kind), Err(io::ErrorKind::DirectoryNotEmpty));
        assert_eq!(fs::rename(at("/a/x"), at("/m/x")).await.map_err(|e| e.raw_os_error()), Err(Some(18)));
        let open = fs::File::open(at("/a/x")).await.unwrap();
        fs::remove_file(at("/a/x")).await.unwrap();
        assert_eq!(&open.read_at(1, 9).await.unwrap()[..], [2, 3], "an open file outlives its name");
        assert_eq!(fs::remove_file(at("/a/x")).await.map_err(kind), Err(io::ErrorKind::NotFound));

        let before = fs::space(at("/a")).await.unwrap().available;
        let mut big = fs::TempFile::create(at("/a")).await.unwrap();
        assert_eq!(big.allocate(200_000).await.map_err(kind), Err(io::ErrorKind::StorageFull));
        big.append(Bytes::from(vec![0; 50_000])).await.unwrap();
        assert_eq!(big.append(Bytes::from(vec![0; 60_000])).await.map_err(kind), Err(io::ErrorKind::StorageFull));
        drop(big);
        assert_eq!(fs::space(at("/a")).await.unwrap().available, before, "unpublished leaves nothing");

        let held = fs::lock(at("/a/lock")).await.unwrap();
        assert_eq!(fs::lock(at("/a/lock")).await.map(|_| ()).map_err(kind), Err(io::ErrorKind::WouldBlock));
        drop(held);
        fs::lock(at("/a/lock")).await.unwrap();
    });
}

#[test]
fn appends_under_one_lock_all_arrive_and_survive() {
    async fn work() {
        let appends: Vec<_> = (0..8_u8)
            .map(|n| spawn(async move { fs::append_locked(Path::new("/log"), Path::new("/.lock"), vec![n]).await }))
            .collect();
        for append in appends {
            append.await.unwrap().unwrap();
        }
        fs::sync_dir(Path::new("/")).await.unwrap();
        std::future::pending().await
    }
    async fn look() -> Vec<u8> {
        fs::read(Path::new("/log"), 99).await.unwrap_or_default()
    }
    for seed in 0..50 {
        let sim = Sim::new(seed, SimOptions::default());
        let node = sim.node("node", ip(2));
        sim.start(node, work);
        let handle = sim.handle();
        let mut found = sim.run(async move {
            sleep(60 * SECOND).await;
            handle.crash(node);
            handle.start(node, std::future::pending);
            handle.run_on(node, look()).await.unwrap()
        });
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 7], "seed {seed}");
    }
}

#[test]
fn disk_errors_come_as_often_as_asked_and_stop_with_the_faults() {
    let sim = Sim::new(1, SimOptions { read_error_chance: 0.5, ..Default::default() });
    let handle = sim.handle();
    sim.run(async move {
        fs::write_atomic(Path::new("/x"), vec![1], 0o600).await.unwrap();
        let mut failed = 0;
        for _ in 0..100 {
            failed += u32::from(fs::read(Path::new("/x"), 9).await.is_err());
        }
        assert!((20..80).contains(&failed), "{failed}");
        handle.set_faults(false);
        for _ in 0..100 {
            fs::read(Path::new("/x"), 9).await.unwrap();
        }
    });
}

const ROWS: Table = Table(0);

#[test]
fn committed_rows_survive_and_others_are_there_or_not_as_a_whole() {
    async fn work() {
        let rows = Kv::open(Path::new("/db"), &["rows"]).await.unwrap();
        for number in 0..20_u8 {
            let write = rows.write(move |txn| {
                txn.put(ROWS, &[number, 0], &[number])?;
                txn.put(ROWS, &[number, 1], &[number])
            });
            write.await.unwrap();
            fs::create_dir_all(Path::new(&format!("/done/{number}"))).await.unwrap();
        }
        std::future::pending().await
    }
    async fn look() -> (usize, usize) {
        let done = fs::read_dir(Path::new("/done")).await.map_or(0, |names| names.len());
        let rows = Kv::open(Path::new("/db"), &["rows"]).await.unwrap();
        let mut keys = Vec::new();
        let all = std::ops::Bound::Unbounded;
        keys = rows
            .read(move |txn| {
                txn.scan(ROWS, all, all, false, &mut |(key, _)| {
                    keys.push(key.to_vec());
                    Ok(true)
                })?;
                Ok(keys)
            })
            .await
            .unwrap();
        let whole: Vec<Vec<u8>> = (0..20).flat_map(|n| [vec![n, 0], vec![n, 1]]).take(keys.len() & !1).collect();
        assert_eq!(keys, whole);
        (done, keys.len() / 2)
    }
    for seed in 0..100 {
        let (done, rows) = after_crash(seed, Duration::from_millis(30), work, look);
        assert!(rows == done || rows == done + 1, "seed {seed}: {done} acknowledged, {rows} there");
    }
}

#[test]
fn a_failed_write_undoes_only_its_own_and_transactions_read_their_changes() {
    let sim = Sim::new(1, SimOptions::default());
    sim.run(async {
        let rows = Kv::open(Path::new("/db"), &["rows"]).await.unwrap();
        rows.write(|txn| txn.put(ROWS, b"a", b"1")).await.unwrap();
        let failed: io::Result<()> = rows
            .write(|txn| {
                txn.put(ROWS, b"b", b"2")?;
                assert!(txn.delete(ROWS, b"a")?);
                assert_eq!(txn.get(ROWS, b"a")?, None);
                let mut seen = Vec::new();
                let all = std::ops::Bound::Unbounded;
                txn.scan(ROWS, all, all, true, &mut |(key, value)| {
                    seen.push((key.to_vec(), value.to_vec()));
                    Ok(true)
                })?;
                assert_eq!(seen, [(b"b".to_vec(), b"2".to_vec())]);
                Err(io::ErrorKind::Other.into())
            })
            .await;
        assert!(failed.is_err());
        let values = rows.read(|txn| Ok((txn.get(ROWS, b"a")?.is_some(), txn.get(ROWS, b"b")?.is_some()))).await;
        assert_eq!(values.unwrap(), (true, false));
    });
}

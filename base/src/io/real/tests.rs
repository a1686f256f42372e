//! The real backend in both of its modes: every test runs once on io_uring and once on epoll.

#![expect(clippy::disallowed_methods, reason = "tests look at the files from outside the door")]

use super::{CoreOptions, driver, run_on};
use crate::io::{
    self, Datagrams, Listener, Pipe, Shutdown, Stream, compute, compute_behind, fs, sleep, spawn, timeout,
};
use bytes::{Bytes, BytesMut};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(20);

/// Runs `main` on a core of each kind.
pub(super) fn on_both<F: Future>(main: impl Fn() -> F) {
    let limited = || async { timeout(LONG, main()).await.expect("the test hangs") };
    let options = || CoreOptions { name: "test".to_owned(), blocking_threads: 3, ..CoreOptions::default() };
    run_on(options(), driver::build, limited).unwrap();
    run_on(options(), driver::epoll, limited).unwrap();
}

pub(super) fn listener() -> Listener {
    Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap()
}

async fn pair() -> (Stream, Stream) {
    let listener = listener();
    let client = Stream::connect(listener.local_address(), SECOND).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(server.peer_address(), peer);
    (client, server)
}

async fn near_pair() -> (Stream, Stream) {
    // Held for its port: the names of other tests are others.
    let port = listener();
    let address = port.local_address();
    let listener = Listener::bind_near(address).unwrap();
    let client = Stream::connect_near(address).unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!((client.peer_address(), server.peer_address(), peer), (address, address, address));
    (client, server)
}

/// One by TCP, one by the machine's own way.
async fn pairs() -> [(Stream, Stream); 2] {
    [pair().await, near_pair().await]
}

pub(super) async fn read_exactly(stream: &Stream, length: usize) -> Vec<u8> {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    while buffer.len() < length {
        buffer.reserve(16 * 1024);
        let (result, back) = stream.read(buffer).await;
        buffer = back;
        assert_ne!(result.unwrap(), 0, "the stream ended early");
    }
    assert_eq!(buffer.len(), length);
    buffer.to_vec()
}

pub(super) fn pattern(length: usize) -> Bytes {
    (0..length).map(|index| (index * 31 % 251) as u8).collect::<Vec<_>>().into()
}

#[test]
fn bytes_go_both_ways_at_once() {
    on_both(|| async {
        for (client, server) in pairs().await {
            let content = pattern(3_000_000);
            let (theirs, sent) = (server.clone(), content.clone());
            let writing = spawn(async move { theirs.write_all(sent).await.unwrap() });
            let (ours, sent) = (client.clone(), content.clone());
            let parts: Vec<Bytes> = (0..3000).map(|part| sent.slice(part * 1000..(part + 1) * 1000)).collect();
            let gathering = spawn(async move { ours.write_vectored(parts).await.unwrap() });
            let reading = spawn(async move { read_exactly(&server, 3_000_000).await });
            assert_eq!(read_exactly(&client, 3_000_000).await, content);
            assert_eq!(reading.await.unwrap(), content);
            writing.await.unwrap();
            gathering.await.unwrap();
        }
    });
}

#[test]
fn a_read_appends_to_what_the_buffer_holds_and_zero_is_the_end() {
    on_both(|| async {
        for (client, server) in pairs().await {
            client.write_all(Bytes::from_static(b" world")).await.unwrap();
            client.shutdown_write().await.unwrap();
            let (result, buffer) = server.read(BytesMut::from(&b"hello"[..])).await;
            assert_eq!((result.unwrap(), &buffer[..]), (6, &b"hello world"[..]));
            let (result, buffer) = server.read(buffer).await;
            assert_eq!((result.unwrap(), buffer.len()), (0, 11));
            server.write_vectored(vec![Bytes::new(), Bytes::from_static(b"bye")]).await.unwrap();
            assert_eq!(read_exactly(&client, 3).await, b"bye");
        }
    });
}

#[test]
fn a_read_given_up_breaks_the_stream_and_the_peer_sees_its_end() {
    on_both(|| async {
        for (client, server) in pairs().await {
            let given_up = timeout(Duration::from_millis(20), server.read(BytesMut::with_capacity(100))).await;
            assert!(given_up.is_err());
            let (result, _) = server.read(BytesMut::with_capacity(100)).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(server.write_all(Bytes::from_static(b"x")).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            let (result, _) = client.read(BytesMut::with_capacity(100)).await;
            assert_eq!(result.unwrap(), 0);
        }
    });
}

#[test]
fn what_goes_through_a_pipe_arrives_in_order_and_the_end_is_told() {
    on_both(|| async {
        for ((source, ours), (theirs, target)) in pairs().await.into_iter().zip(pairs().await) {
            let content = pattern(3_000_000);
            let sent = content.clone();
            let writing = spawn(async move {
                source.write_all(sent).await.unwrap();
                source.shutdown_write().await.unwrap();
            });
            let passing = spawn(async move {
                let mut pipe = Pipe::take().unwrap();
                let mut passed = 0;
                while ours.read_to(&mut pipe, 200_000).await.unwrap() > 0 {
                    assert!(pipe.len() <= 200_000);
                    while !pipe.is_empty() {
                        passed += theirs.write_from(&mut pipe).await.unwrap();
                    }
                }
                passed
            });
            // Slower than what comes, so that both sides wait.
            let mut got = Vec::new();
            while got.len() < content.len() {
                sleep(Duration::from_millis(1)).await;
                let (result, buffer) = target.read(BytesMut::with_capacity(256 * 1024)).await;
                assert_ne!(result.unwrap(), 0, "the stream ended early");
                got.extend_from_slice(&buffer);
            }
            assert!(got == content);
            assert_eq!(passing.await, Some(content.len()));
            writing.await.unwrap();
        }
    });
}

#[test]
fn pipes_are_counted_and_one_that_holds_bytes_is_not_used_again() {
    on_both(|| async {
        let all: Vec<Pipe> = std::iter::from_fn(Pipe::take).take(1000).collect();
        assert_eq!(all.len(), 64);
        drop(all);
        let (source, ours) = pair().await;
        source.write_all(Bytes::from_static(b"of another")).await.unwrap();
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(ours.read_to(&mut pipe, 100).await.unwrap(), 10);
        drop(pipe);
        let (theirs, target) = pair().await;
        for _ in 0..20 {
            source.write_all(Bytes::from_static(b"x")).await.unwrap();
            let mut pipe = Pipe::take().unwrap();
            assert_eq!(ours.read_to(&mut pipe, 100).await.unwrap(), 1);
            assert_eq!(theirs.write_from(&mut pipe).await.unwrap(), 1);
        }
        assert_eq!(read_exactly(&target, 20).await, vec![b'x'; 20]);
    });
}

#[test]
fn a_wait_for_a_pipe_given_up_breaks_the_stream() {
    on_both(|| async {
        for (client, server) in pairs().await {
            let mut pipe = Pipe::take().unwrap();
            assert!(timeout(Duration::from_millis(20), server.read_to(&mut pipe, 100)).await.is_err());
            assert_eq!(server.read_to(&mut pipe, 100).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            let (result, _) = client.read(BytesMut::with_capacity(100)).await;
            assert_eq!(result.unwrap(), 0);
        }
    });
}

#[test]
fn a_write_nobody_reads_can_be_given_up() {
    on_both(|| async {
        for (client, _server) in pairs().await {
            let endless = client.write_all(pattern(64 << 20));
            assert!(timeout(Duration::from_millis(50), endless).await.is_err());
            assert!(client.write_all(Bytes::from_static(b"x")).await.is_err());
        }
    });
}

#[test]
fn shutdown_completes_a_read_in_flight() {
    on_both(|| async {
        for (_client, server) in pairs().await {
            let reader = server.clone();
            let reading = spawn(async move { reader.read(BytesMut::with_capacity(10)).await.0 });
            sleep(Duration::from_millis(10)).await;
            server.shutdown();
            assert_eq!(reading.await.unwrap().unwrap_or(0), 0);
        }
    });
}

#[test]
fn connects_are_refused_and_given_up() {
    on_both(|| async {
        let free = listener().local_address();
        let refused = Stream::connect(free, SECOND).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_connect_given_up_leaves_no_descriptor() {
    on_both(|| async {
        // Nobody accepts: past the backlog the kernel answers no SYN, and a connect waits.
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        rustix::net::listen(&socket, 1).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
        let mut queued = Vec::new();
        let mut given_up = 0;
        for _ in 0..10 {
            match Stream::connect(address, Duration::from_millis(100)).await {
                Ok(stream) => queued.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    given_up += 1;
                }
            }
        }
        assert!(given_up >= 5, "{given_up} given up");
        sleep(Duration::from_millis(50)).await;
        let connecting = |line: &&str| line.contains(&format!(":{:04X} 02 ", address.port()));
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert_eq!(sockets.lines().filter(connecting).count(), 0, "no SYN is left");
    });
}

#[test]
fn an_accept_given_up_loses_no_connection() {
    on_both(|| async {
        let listener = listener();
        for _ in 0..50 {
            assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
        }
        let client = Stream::connect(listener.local_address(), SECOND).await.unwrap();
        let (server, _) = timeout(SECOND, listener.accept()).await.unwrap().unwrap();
        client.write_all(Bytes::from_static(b"here")).await.unwrap();
        assert_eq!(read_exactly(&server, 4).await, b"here");
    });
}

#[test]
fn many_connections_leave_no_descriptor_behind() {
    // Other tests of this process open files too: only a growth near the number of connections is a leak.
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    on_both(|| async {
        let before = open();
        for _ in 0..200 {
            let (client, server) = pair().await;
            client.write_all(Bytes::from_static(b"ping")).await.unwrap();
            assert_eq!(read_exactly(&server, 4).await, b"ping");
            drop(timeout(Duration::ZERO, server.read(BytesMut::with_capacity(8))).await);
        }
        sleep(Duration::from_millis(50)).await;
        assert!(open() < before + 150, "{before} descriptors before, {} after", open());
    });
}

#[test]
fn a_port_is_free_again_when_its_listener_is_gone() {
    on_both(|| async {
        let first = listener();
        let address = first.local_address();
        let _ = timeout(Duration::from_millis(5), first.accept()).await;
        drop(first);
        sleep(Duration::from_millis(20)).await;
        Listener::bind(address, false).unwrap();
        let shared: Vec<_> = {
            let first = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), true).unwrap();
            let second = Listener::bind(first.local_address(), true).unwrap();
            vec![first, second]
        };
        assert_eq!(shared[0].local_address(), shared[1].local_address());
    });
}

#[test]
fn datagrams_go_both_ways_whole_and_receiving_can_be_given_up() {
    on_both(|| async {
        let server = Datagrams::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let client = Datagrams::connect(server.local_address()).unwrap();
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(1), server.receive(64)).await.is_err());
        }
        client.send(&Bytes::from_static(b"question"), server.local_address()).unwrap();
        client.send(&Bytes::from_static(b""), server.local_address()).unwrap();
        let (question, asker) = timeout(SECOND, server.receive(64)).await.unwrap().unwrap();
        assert_eq!(&question[..], b"question");
        assert_eq!(asker.port(), client.local_address().port());
        assert_eq!(timeout(SECOND, server.receive(64)).await.unwrap().unwrap().0.len(), 0);
        let stranger = Datagrams::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        stranger.send(&Bytes::from_static(b"forged"), asker).unwrap();
        server.send(&Bytes::from_static(b"a long answer"), asker).unwrap();
        let (answer, from) = timeout(SECOND, client.receive(6)).await.unwrap().unwrap();
        assert_eq!((&answer[..], from), (&b"a long"[..], server.local_address()));
        assert!(timeout(Duration::from_millis(10), client.receive(64)).await.is_err(), "the stranger is not heard");
        let port = server.local_address();
        drop(server);
        sleep(Duration::from_millis(20)).await;
        Datagrams::bind(port).unwrap();
    });
}

#[test]
fn a_panic_stays_in_its_task() {
    on_both(|| async {
        let answer = spawn(async { panic!("on purpose") }).await;
        assert!(answer.is_none());
        assert_eq!(spawn(async { 7 }).await, Some(7));
    });
}

#[test]
fn background_work_is_done_at_the_lowest_priority() {
    on_both(|| async {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        assert_eq!(compute_behind(nice).await.unwrap(), 19);
        assert_eq!(
            (nice(), compute(nice).await.unwrap()),
            (before, before),
            "the core and its other threads keep theirs"
        );
        let panicked = compute_behind(|| -> u8 { panic!("on purpose") }).await.unwrap_err();
        assert!(panicked.to_string().contains("on purpose"), "{panicked}");
        assert_eq!(compute_behind(|| 7).await.unwrap(), 7);
        // Given up it goes on to its end, also when the core ends.
        drop(compute_behind(|| ()));
    });
}

#[test]
fn a_dropped_handle_detaches_and_spawn_does_not_run_inline() {
    on_both(|| async {
        let done = std::rc::Rc::new(std::cell::Cell::new(false));
        let flag = done.clone();
        drop(spawn(async move {
            sleep(Duration::from_millis(5)).await;
            flag.set(true);
        }));
        assert!(!done.get());
        sleep(Duration::from_millis(50)).await;
        assert!(done.get());
    });
}

#[test]
fn a_slow_poll_is_counted() {
    on_both(|| async {
        let before = super::slow_polls();
        spawn(async { std::thread::sleep(Duration::from_millis(30)) }).await.unwrap();
        assert!(super::slow_polls() > before);
    });
}

#[test]
fn time_passes_and_a_shutdown_wakes_all() {
    on_both(|| async {
        let start = io::monotonic();
        sleep(Duration::from_millis(30)).await;
        let passed = io::monotonic().since(start);
        assert!(passed >= Duration::from_millis(30) && passed < SECOND, "{passed:?}");
        assert_ne!(io::random_u64(), io::random_u64());
        let shutdown = Shutdown::new();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let shutdown = shutdown.clone();
                spawn(async move { shutdown.requested().await })
            })
            .collect();
        assert!(timeout(Duration::from_millis(5), shutdown.requested()).await.is_err());
        shutdown.request();
        for task in waiting {
            task.await.unwrap();
        }
        shutdown.requested().await;
    });
}

async fn publish(dir: &Path, name: &str, content: Bytes, xattrs: &[(&str, &[u8])]) -> std::io::Result<()> {
    let mut file = fs::TempFile::create(dir).await?;
    file.allocate(content.len() as u64).await?;
    for chunk in content.chunks(70_000) {
        file.append(content.slice_ref(chunk)).await?;
    }
    assert_eq!(file.len(), content.len() as u64);
    let xattrs = xattrs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    file.publish(&dir.join(name), xattrs).await
}

#[test]
fn a_published_file_has_its_content_and_attributes_and_replaces() {
    on_both(|| async {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        for (round, length) in [0, 10, 200_000, 1_500_000].into_iter().enumerate() {
            let long = vec![b'm'; 100 + round * 800];
            publish(dir.path(), "object", pattern(length), &[("user.meta", &long), ("user.other", b"")]).await.unwrap();
            let file = fs::File::open(&dir.path().join("object")).await.unwrap();
            assert_eq!(file.len(), length as u64);
            assert_eq!(file.read_at(0, length + 5).await.unwrap(), pattern(length));
            assert_eq!(
                file.read_at(5, 3).await.unwrap(),
                pattern(length).get(5..8).map(Bytes::copy_from_slice).unwrap_or_default()
            );
            assert_eq!(file.xattr("user.meta").await.unwrap(), Some(long));
            assert_eq!(file.xattr("user.other").await.unwrap(), Some(Vec::new()));
            assert_eq!(file.xattr("user.none").await.unwrap(), None);
        }
        let names = fs::read_dir(dir.path()).await.unwrap();
        assert_eq!(names.len(), 1, "no temporary is left: {names:?}");
    });
}

#[test]
fn what_was_not_published_leaves_nothing() {
    on_both(|| async {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut file = fs::TempFile::create(dir.path()).await.unwrap();
        file.append(pattern(700_000)).await.unwrap();
        file.sync_data().await.unwrap();
        drop(file);
        let missing = publish(&dir.path().join("none"), "x", pattern(5), &[]).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let mut file = fs::TempFile::create(dir.path()).await.unwrap();
        file.append(pattern(5)).await.unwrap();
        let nowhere = file.publish(&dir.path().join("none/x"), Vec::new()).await.unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::NotFound);
        assert!(fs::read_dir(dir.path()).await.unwrap().is_empty());
    });
}

#[test]
fn a_publish_given_up_still_happens() {
    on_both(|| async {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut file = fs::TempFile::create(dir.path()).await.unwrap();
        file.append(pattern(5)).await.unwrap();
        let target = dir.path().join("kept");
        {
            let mut publishing = std::pin::pin!(file.publish(&target, Vec::new()));
            let first = std::future::poll_fn(|context| std::task::Poll::Ready(publishing.as_mut().poll(context))).await;
            assert!(first.is_pending());
        }
        for _ in 0..200 {
            if target.exists() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the file never appeared");
    });
}

#[test]
fn without_nameless_files_a_hidden_name_serves() {
    use super::disk::TempPlace;
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let names = || std::fs::read_dir(dir.path()).unwrap().count();
    let place = TempPlace::create_named(dir.path()).unwrap();
    place.write_at(&[Bytes::from_static(b"con"), Bytes::new(), Bytes::from_static(b"tent")], 0).unwrap();
    place.prepare(&[("user.a".to_owned(), b"b".to_vec())]).unwrap();
    place.name(&dir.path().join("kept")).unwrap();
    drop(place);
    let unpublished = TempPlace::create_named(dir.path()).unwrap();
    assert_eq!(names(), 2);
    drop(unpublished);
    assert_eq!(names(), 1);
    assert_eq!(std::fs::read(dir.path().join("kept")).unwrap(), b"content");
}

#[test]
fn what_a_path_is_the_kernel_says_the_same_whichever_way_it_is_asked() {
    on_both(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write_atomic(&file, b"five!".to_vec(), 0o640).await.unwrap();
        for path in [dir.path(), &file, Path::new("/proc/self/exe")] {
            use std::os::unix::fs::MetadataExt;
            let (found, expected) = (fs::metadata(path).await.unwrap(), std::fs::metadata(path).unwrap());
            let modified = i128::from(expected.mtime()) * 1_000_000_000 + i128::from(expected.mtime_nsec());
            assert_eq!((found.len, found.is_dir, found.device), (expected.len(), expected.is_dir(), expected.dev()));
            assert_eq!(found.modified_nanos, modified);
        }
        assert_eq!(fs::metadata(&dir.path().join("none")).await.unwrap_err().kind(), ErrorKind::NotFound);
        // The core ends while some are under way that nobody waits for any more.
        for _ in 0..100 {
            let _ = timeout(Duration::ZERO, fs::metadata(&file)).await;
        }
    });
}

#[test]
fn small_files_and_directories() {
    on_both(|| async {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        fs::create_dir_all(&deep).await.unwrap();
        fs::create_dir_all(&deep).await.unwrap();
        let path = deep.join("file");
        fs::write_atomic(&path, b"one".to_vec(), 0o640).await.unwrap();
        fs::write_atomic(&path, b"three".to_vec(), 0o640).await.unwrap();
        assert_eq!(fs::read(&path, 5).await.unwrap(), b"three");
        assert_eq!(fs::read(&path, 4).await.unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(fs::metadata(&path).await.unwrap().len, 5);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        fs::create_dir_all(&deep.join("sub")).await.unwrap();
        let entries: Vec<_> = fs::read_dir(&deep).await.unwrap().into_iter().map(|e| (e.name, e.is_dir)).collect();
        assert_eq!(entries, [("file".to_owned(), false), ("sub".to_owned(), true)]);
        fs::rename(&path, &deep.join("moved")).await.unwrap();
        fs::sync_dir(&deep).await.unwrap();
        assert_eq!(fs::remove_file(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
        fs::remove_file(&deep.join("moved")).await.unwrap();
        fs::remove_dir(&deep.join("sub")).await.unwrap();
        assert!(fs::metadata(dir.path()).await.unwrap().is_dir);
        assert!(fs::space(dir.path()).await.unwrap().total > 0);
        assert!(!fs::is_mount(&deep).await.unwrap());
        assert!(fs::is_mount(Path::new("/")).await.unwrap());
        assert_eq!(fs::File::open(&path).await.map(|_| ()).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_lock_excludes_until_dropped() {
    on_both(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = fs::lock(&path).await.unwrap();
        assert_eq!(fs::lock(&path).await.map(|_| ()).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(held);
        fs::lock(&path).await.unwrap();
    });
}

#[test]
fn a_full_queue_waits_and_a_panicking_closure_is_an_error() {
    on_both(|| async {
        let core = super::core();
        let panicked = core.rest.pool.run(|| -> std::io::Result<()> { panic!("on purpose") }).await;
        assert!(panicked.is_err());
        let tasks: Vec<_> = (0..3000_u32)
            .map(|number| {
                let core = core.clone();
                spawn(async move { core.rest.pool.run(move || Ok(number)).await.unwrap() })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await, Some(number as u32));
        }
    });
}

#[test]
fn a_disk_that_does_not_answer_keeps_no_other_lane_waiting_and_is_found_silent() {
    on_both(|| async {
        let folder = tempfile::tempdir().unwrap();
        let (sick, well) = (folder.path().join("d1"), folder.path().join("d10"));
        let lanes = [&sick, &well].map(|root| super::open_lane(root).unwrap());
        fs::create_dir_all(&well).await.unwrap();
        // More than there are threads.
        let (let_go, stuck): (Vec<_>, Vec<_>) = (0..20)
            .map(|_| {
                let (let_go, wait) = std::sync::mpsc::channel::<()>();
                let wait = move || wait.recv().map_err(std::io::Error::other);
                (let_go, lanes[0].pool.start_disk(super::blocking::End::Heard, wait))
            })
            .unzip();
        let file = well.join("file");
        let write = fs::write_atomic(&file, b"bytes".to_vec(), 0o600);
        timeout(Duration::from_secs(60), write).await.expect("it waits for another disk").unwrap();
        assert_eq!(fs::read(&file, 100).await.unwrap(), b"bytes");
        while lanes[0].silent_for() < Duration::from_millis(20) {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(lanes[1].silent_for(), Duration::ZERO);
        for (let_go, one) in let_go.into_iter().zip(stuck) {
            let_go.send(()).unwrap();
            one.await.unwrap();
        }
        assert_eq!(lanes[0].silent_for(), Duration::ZERO);
        assert!(std::rc::Rc::ptr_eq(&lanes[0], &super::open_lane(&sick).unwrap()), "the same again");
    });
}

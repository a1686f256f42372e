//! Faults at exactly one step of a disk, and defects of a whole disk.

use super::*;

const LOG: &str = "/v/log";

/// Takes every kind of step; `done` is how far everything is stable, as far as it was told.
async fn workload(done: Rc<Cell<u8>>) -> io::Result<()> {
    fs::create_dir_all(Path::new("/v")).await?;
    let volume = fs::Volume::create(Path::new(LOG), 16_384).await?;
    let rows = Kv::open(Path::new("/rows"), &["rows"]).await?;
    for round in 1..=3_u8 {
        let offset = u64::from(round - 1) * 4096;
        volume.write(offset, vec![Bytes::from(vec![round; 4096])]).await?;
        rows.write(move |txn| txn.put(ROWS, &[round], b"there")).await?;
        let mut file = fs::TempFile::create(Path::new("/v")).await?;
        file.append(Bytes::from(vec![round; 1000])).await?;
        file.prepare(vec![("user.round".to_owned(), vec![round])]).await?;
        file.publish(Path::new("/v/new"), vec![]).await?;
        fs::rename(Path::new("/v/new"), Path::new("/v/file")).await?;
        fs::sync_dir(Path::new("/v")).await?;
        done.set(round);
    }
    fs::remove_file(Path::new("/v/file")).await?;
    fs::sync_dir(Path::new("/v")).await?;
    done.set(4);
    Ok(())
}

/// Names what was acknowledged and is not there.
async fn check(done: u8) -> Result<(), String> {
    let broken = |what: &str, round: u8| Err(format!("{what} of round {round}"));
    for round in 1..=done.min(3) {
        let volume = fs::Volume::open(Path::new(LOG)).await.map_err(|error| format!("the volume: {error}"))?;
        if volume.read(u64::from(round - 1) * 4096, 4096).await.unwrap() != vec![round; 4096] {
            return broken("bytes", round);
        }
        let rows = Kv::open(Path::new("/rows"), &["rows"]).await.unwrap();
        if rows.read(move |txn| Ok(txn.get(ROWS, &[round])?.is_none())).await.unwrap() {
            return broken("row", round);
        }
    }
    match (done, fs::File::open(Path::new("/v/file")).await) {
        (1 | 2, Err(_)) => broken("name", done),
        (4, Ok(_)) => broken("removal", done),
        (_, Err(_)) => Ok(()),
        (_, Ok(file)) => {
            let round = file.xattr("user.round").await.unwrap();
            let bytes = file.read_at(0, 9999).await.unwrap();
            let is_whole = round.is_some_and(|round| bytes == vec![round[0]; 1000] && round[0] >= done);
            if is_whole { Ok(()) } else { broken("file", done) }
        }
    }
}

/// One run with one plan: what became of the workload (`None`: it crashed), and of the check after the power came back.
fn attempt(plan: Option<(u64, Planned)>, defects: Defects) -> (Option<io::Result<()>>, Result<(), String>, u64) {
    let sim = Sim::new(7, SimOptions::default());
    let node = sim.node("node", ip(2));
    sim.start(node, std::future::pending);
    sim.set_defects(node, defects);
    if let Some((number, planned)) = plan {
        sim.plan_step(node, number, planned);
    }
    let handle = sim.handle();
    sim.run(async move {
        let done = Rc::new(Cell::new(0));
        let outcome = handle.run_on(node, workload(Rc::clone(&done))).await;
        let steps = handle.disk_steps(node);
        handle.crash(node);
        handle.start(node, std::future::pending);
        handle.set_defects(node, Defects::default());
        let verdict = handle.run_on(node, check(done.get())).await.unwrap();
        (outcome, verdict, steps)
    })
}

#[test]
fn every_step_can_crash_and_nothing_acknowledged_is_lost() {
    let (outcome, verdict, steps) = attempt(None, Defects::default());
    assert!(outcome.unwrap().is_ok() && verdict.is_ok());
    assert!(steps > 30, "{steps}");
    for number in 1..=steps {
        let (outcome, verdict, taken) = attempt(Some((number, Planned::Crash)), Defects::default());
        assert!(outcome.is_none(), "step {number} crashed nothing");
        assert_eq!(taken, number, "nothing moves after the crash");
        assert_eq!(verdict, Ok(()), "step {number}");
    }
}

#[test]
fn every_step_can_fail_and_the_workload_hears_of_it() {
    let (_, _, steps) = attempt(None, Defects::default());
    for number in 1..=steps {
        for (planned, code) in [(Planned::InputOutputError, 5), (Planned::StorageFull, 28)] {
            let (outcome, verdict, _) = attempt(Some((number, planned)), Defects::default());
            let error = outcome.unwrap().expect_err("a failed step goes unheard");
            assert_eq!(error.raw_os_error(), Some(code), "step {number}");
            assert_eq!(verdict, Ok(()), "step {number}");
        }
    }
}

#[test]
fn a_disk_that_skips_syncs_is_found_out() {
    let (_, _, steps) = attempt(None, Defects::default());
    let found = |defects| {
        let lost = |number| attempt(Some((number, Planned::Crash)), defects).1.is_err();
        (1..=steps).filter(|&number| lost(number)).count()
    };
    assert!(found(Defects { skip_file_syncs: true, ..Defects::default() }) > 0);
    assert!(found(Defects { skip_dir_syncs: true, ..Defects::default() }) > 0);
}

#[test]
fn what_a_failed_sync_lost_no_later_sync_brings_back() {
    let mut lost = 0;
    for seed in 0..50 {
        let sim = Sim::new(seed, SimOptions::default());
        let node = sim.node("node", ip(2));
        sim.start(node, std::future::pending);
        let handle = sim.handle();
        lost += sim.run(async move {
            let next = handle.clone();
            let work = async move {
                let volume = fs::Volume::create(Path::new("/log"), 8192).await.unwrap();
                next.plan_step(node, next.disk_steps(node) + 2, Planned::InputOutputError);
                volume.write(0, vec![Bytes::from(vec![1; 4096])]).await.unwrap_err();
                volume.write(4096, vec![Bytes::from(vec![2; 4096])]).await.unwrap();
                assert_eq!(volume.read(0, 4096).await.unwrap(), vec![1; 4096], "it looks as if it were there");
            };
            handle.run_on(node, work).await.unwrap();
            handle.crash(node);
            handle.start(node, std::future::pending);
            let look = async {
                let bytes = fs::read(Path::new("/log"), 8192).await.unwrap();
                assert_eq!(bytes[4096..], [2; 4096]);
                bytes[..4096].iter().filter(|&&byte| byte == 0).count() / 512
            };
            handle.run_on(node, look).await.unwrap()
        });
    }
    assert!(lost > 100 && lost < 300, "about half of 400 sectors: {lost}");
}

#[test]
fn damage_is_a_flipped_bit_that_stays() {
    let sim = Sim::new(1, SimOptions::default());
    let handle = sim.handle();
    sim.run(async move {
        fs::write_atomic(Path::new("/x"), vec![6; 1000], 0o600).await.unwrap();
        handle.damage(CLIENT, Path::new("/x"), 700).unwrap();
        assert!(handle.damage(CLIENT, Path::new("/x"), 1000).is_err());
        assert!(handle.damage(CLIENT, Path::new("/y"), 0).is_err());
        let bytes = fs::read(Path::new("/x"), 1000).await.unwrap();
        assert_eq!((bytes[699], bytes[700], bytes[701]), (6, 7, 6));
    });
}

#[test]
fn a_full_disk_refuses_what_grows_and_a_reserve_lets_deletes_through() {
    let sim = Sim::new(1, SimOptions { disk_capacity: 1 << 20, ..Default::default() });
    let handle = sim.handle();
    sim.run(async move {
        let full = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let reserved = Kv::open_with_reserve(Path::new("/reserved"), &["rows"], 100_000).await.unwrap();
        let plain = Kv::open(Path::new("/plain"), &["rows"]).await.unwrap();
        for rows in [&reserved, &plain] {
            rows.write(|txn| txn.put(ROWS, b"small", b"row")).await.unwrap();
        }
        let free = handle.disk_space(CLIENT).1;
        let _hog = fs::Volume::create(Path::new("/hog"), free - 512).await.unwrap();
        full(fs::write_atomic(Path::new("/x"), vec![0; 600], 0o600).await.unwrap_err());
        full(plain.write(|txn| txn.put(ROWS, b"large", &[0; 50_000])).await.unwrap_err());
        assert!(plain.read(|txn| Ok(txn.get(ROWS, b"large")?.is_none())).await.unwrap());
        assert!(plain.write(|txn| txn.delete(ROWS, b"small")).await.unwrap());
        assert!(reserved.write(|txn| txn.delete(ROWS, b"small")).await.unwrap());
        reserved.write(|txn| txn.put(ROWS, b"large", &[0; 50_000])).await.unwrap();
        full(reserved.write(|txn| txn.put(ROWS, b"larger", &[0; 150_000])).await.unwrap_err());
        handle.set_disk_capacity(CLIENT, 2 << 20);
        reserved.write(|txn| txn.put(ROWS, b"larger", &[0; 150_000])).await.unwrap();
    });
}

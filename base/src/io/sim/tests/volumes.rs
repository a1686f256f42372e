//! Volumes and prepared files under crashes.

use super::*;

const VOLUME: &str = "/v/1";

async fn write_twice() {
    fs::create_dir_all(Path::new("/v")).await.unwrap();
    let volume = fs::Volume::create(Path::new(VOLUME), 64 * 1024).await.unwrap();
    volume.write(4096, vec![Bytes::from(vec![1; 8192])]).await.unwrap();
    fs::create_dir_all(Path::new("/one")).await.unwrap();
    volume.write(8192, vec![Bytes::from(vec![2; 4096]), Bytes::from(vec![3; 4096])]).await.unwrap();
    fs::create_dir_all(Path::new("/two")).await.unwrap();
    std::future::pending().await
}

/// How far it got, and the content by 512 bytes: every sector's first and last byte.
async fn look_at_volume() -> (u8, Option<Vec<(u8, u8)>>) {
    let done = [fs::metadata(Path::new("/one")).await.is_ok(), fs::metadata(Path::new("/two")).await.is_ok()];
    let done = done.iter().map(|&done| u8::from(done)).sum();
    let Ok(volume) = fs::Volume::open(Path::new(VOLUME)).await else { return (done, None) };
    let bytes = volume.read(0, 1 << 20).await.unwrap();
    (done, Some(bytes.chunks(512).map(|sector| (sector[0], sector[sector.len() - 1])).collect()))
}

#[test]
fn a_synced_write_survives_and_an_overwrite_is_torn_by_sectors_only() {
    let mut mixed = BTreeSet::new();
    for seed in 0..400 {
        let (done, sectors) = after_crash(seed, Duration::from_millis(6), write_twice, look_at_volume);
        let Some(sectors) = sectors else {
            assert_eq!(done, 0, "seed {seed}");
            continue;
        };
        if done > 0 {
            assert_eq!(sectors.len(), 128, "the length was synced when it was created");
            assert!(sectors[8..16].iter().all(|&pair| pair == (1, 1)), "seed {seed}: not written again");
            assert!(sectors[32..].iter().all(|&pair| pair == (0, 0)), "seed {seed}: never written");
        }
        if done == 2 {
            assert!(sectors[16..24].iter().all(|&pair| pair == (2, 2)), "seed {seed}");
            assert!(sectors[24..32].iter().all(|&pair| pair == (3, 3)), "seed {seed}");
        } else if done == 1 {
            mixed.extend(sectors[16..32].iter().copied());
        }
    }
    assert!([(1, 1), (2, 2), (0, 0), (3, 3)].iter().all(|pair| mixed.contains(pair)), "{mixed:?}");
    assert!(mixed.contains(&(2, 1)) || mixed.contains(&(3, 0)), "some sector is torn: {mixed:?}");
}

#[test]
fn a_volume_is_made_once_and_whole_or_not_at_all() {
    let sim = Sim::new(1, SimOptions { disk_capacity: 100_000, ..Default::default() });
    sim.run(async {
        let at = Path::new(VOLUME);
        fs::create_dir_all(Path::new("/v")).await.unwrap();
        let free = fs::space(at.parent().unwrap()).await.unwrap().available;
        let full = fs::Volume::create(at, 200_000).await.map(|_| ()).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::space(at.parent().unwrap()).await.unwrap().available, free, "nothing is left behind");
        let volume = fs::Volume::create(at, 65_536).await.unwrap();
        let again = fs::Volume::create(at, 4096).await.map(|_| ()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let unaligned = volume.write(100, vec![Bytes::from(vec![0; 4096])]).await.unwrap_err();
        assert_eq!(unaligned.kind(), io::ErrorKind::InvalidInput);
        volume.write(61_440, vec![Bytes::from(vec![9; 4096])]).await.unwrap();
        assert_eq!(volume.read(65_000, 9999).await.unwrap(), vec![9; 536]);
        fs::remove_file(at).await.unwrap();
        assert_eq!(volume.read(61_440, 1).await.unwrap(), vec![9], "an open volume outlives its name");
    });
}

#[test]
fn a_prepared_file_gets_its_name_later_and_is_whole_then() {
    async fn work() {
        fs::create_dir_all(Path::new("/d/e")).await.unwrap();
        let mut file = fs::TempFile::create(Path::new("/d/e")).await.unwrap();
        file.append(Bytes::from_static(&WHOLE)).await.unwrap();
        file.prepare(vec![("user.meta".to_owned(), b"m".to_vec())]).await.unwrap();
        assert!(fs::read_dir(Path::new("/d/e")).await.unwrap().is_empty());
        file.publish(Path::new("/d/e/f"), vec![]).await.unwrap();
        fs::create_dir_all(Path::new("/done")).await.unwrap();
        std::future::pending().await
    }
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let found = after_crash(seed, Duration::from_millis(5), work, look_at_published);
        assert!(matches!(found, (true, Some(true)) | (false, None | Some(true))), "seed {seed}: {found:?}");
        seen.insert(found);
    }
    assert!(seen.len() >= 2);
}

//! A log is written, torn by crashes, opened again and at last damaged: what was acknowledged is never called torn, nor the reverse.

use super::*;
use crate::store::packed::scan::tests::{Batch, STORE, Written, any_batch, scan, small_batch};
use proptest::prelude::*;

/// What opening a log finds: places of good records, verdicts, and where it goes on.
fn open(log: &[(Header, Vec<u8>)]) -> (Vec<(u32, u64)>, Vec<Judged>, End) {
    let mut judge = Judge::new(log[0].0.first_sequence);
    let (mut records, mut judged) = (Vec::new(), Vec::new());
    for (number, (header, bytes)) in log.iter().enumerate() {
        judge.volume(header, HEADER_BYTES);
        let limit = log.get(number + 1).map_or(bytes.len(), |(next, _)| usize::try_from(next.previous_end).unwrap());
        let mut bytes = bytes.clone();
        bytes.resize(limit.max(4096), 0);
        for found in scan(header.volume, &bytes, 5000).0 {
            if let Found::Record { offset, .. } = &found {
                records.push((header.volume, *offset));
            }
            judge.see(&found);
            judged.extend(judge.judged());
        }
    }
    let (rest, end) = judge.finish();
    judged.extend(rest);
    (records, judged, end)
}

fn header(volume: u32, end: &End) -> Header {
    let End { offset: previous_end, sequence: first_sequence, acknowledged, .. } = *end;
    Header { volume, store: STORE, first_sequence, previous_end, acknowledged }
}

/// A log with what was acknowledged in it.
struct Device {
    log: Vec<(Header, Vec<u8>)>,
    acknowledged: Vec<(u32, u64, u64)>,
    sequence: u64,
}

impl Device {
    fn new() -> Device {
        let end = End { volume: 0, offset: 0, sequence: 1, acknowledged: 1, is_whole: true };
        Device { log: vec![(header(1, &end), vec![0; 4096])], acknowledged: Vec::new(), sequence: 1 }
    }

    /// Writes a batch; `kept` says which sectors of it reach the disk, all when it is acknowledged.
    fn write(&mut self, batch: &Batch, kept: Option<u64>) {
        let (header, bytes) = self.log.last_mut().unwrap();
        let mut written = Written { bytes: std::mem::take(bytes), ..Written::default() };
        let start = written.bytes.len();
        written.batch(header.volume, self.sequence, batch);
        if let Some(kept) = kept {
            for (number, sector) in written.bytes[start..].chunks_mut(512).enumerate() {
                if kept >> (number * 7 % 64) & 1 == 0 {
                    sector.fill(0);
                }
            }
        } else {
            self.acknowledged
                .extend(written.records.iter().map(|record| (header.volume, record.offset, record.lengths.total())));
        }
        *bytes = written.bytes;
        self.sequence += 1;
    }

    /// A new volume is begun because the old one is full.
    fn next_volume(&mut self) {
        let (last, bytes) = self.log.last().unwrap();
        let end = End {
            volume: last.volume,
            offset: bytes.len() as u64,
            sequence: self.sequence,
            acknowledged: self.sequence,
            is_whole: true,
        };
        self.log.push((header(last.volume + 1, &end), vec![0; 4096]));
    }

    /// The device is opened after a crash; the log goes on where it can.
    fn recover(&mut self) {
        let (_, _, end) = open(&self.log);
        self.sequence = end.sequence;
        if end.is_whole {
            self.log.last_mut().unwrap().1.truncate(usize::try_from(end.offset).unwrap());
        } else {
            self.log.push((header(end.volume + 1, &end), vec![0; 4096]));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Batch),
    Tear(Batch, u64),
    NextVolume,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any_batch().prop_map(Step::Write),
        3 => (any_batch(), prop_oneof![any::<u64>(), any::<u64>().prop_map(|bits| bits & (bits >> 9)), Just(0), Just(1)])
            .prop_map(|(batch, kept)| Step::Tear(batch, kept)),
        1 => Just(Step::NextVolume),
    ];
    proptest::collection::vec(step, 1..10)
}

fn run(steps: &[Step]) -> Device {
    let mut device = Device::new();
    for step in steps {
        match step {
            Step::Write(batch) => device.write(batch, None),
            Step::Tear(batch, kept) => {
                device.write(batch, Some(*kept));
                device.recover();
            }
            Step::NextVolume => device.next_volume(),
        }
    }
    device
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn crashes_alone_lose_nothing_and_are_never_taken_for_loss(steps in any_steps()) {
        let device = run(&steps);
        let (records, judged, end) = open(&device.log);
        for (volume, offset, _) in &device.acknowledged {
            prop_assert!(records.contains(&(*volume, *offset)));
        }
        prop_assert!(judged.iter().all(|damage| damage.verdict != Verdict::Lost), "{:?}", judged);
        prop_assert!(judged.is_empty() || end.is_whole || judged.iter().any(|damage| damage.verdict != Verdict::Padding));
        prop_assert_eq!(end.sequence, device.sequence);
    }

    #[test]
    fn damage_of_what_was_acknowledged_is_loss_once_a_later_batch_exists(
        steps in any_steps(), more in any_batch(), at in any::<prop::sample::Index>(), length in 1..5000_usize, zeros: bool,
    ) {
        let mut device = run(&steps);
        let targets = device.acknowledged.clone();
        device.write(&more, None);
        prop_assume!(!targets.is_empty());
        // Some bytes of an acknowledged record, its last ones or all of it.
        let (volume, offset, total) = targets[at.index(targets.len())];
        let bytes = &mut device.log.iter_mut().find(|(header, _)| header.volume == volume).unwrap().1;
        let end = usize::try_from(offset + total).unwrap();
        let start = end.saturating_sub(length).max(usize::try_from(offset).unwrap());
        let before = bytes.clone();
        for (number, byte) in bytes[start..end].iter_mut().enumerate() {
            *byte = if zeros { 0 } else { byte.wrapping_add((number % 255 + 1) as u8) };
        }
        prop_assume!(*bytes != before);
        let (records, judged, _) = open(&device.log);
        prop_assert!(!records.contains(&(volume, offset)));
        let is_it = |damage: &&Judged| damage.volume == volume && damage.offset < offset + total && offset < damage.offset + damage.bytes;
        let verdicts: Vec<Verdict> = judged.iter().filter(is_it).map(|damage| damage.verdict).collect();
        prop_assert!(!verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == Verdict::Lost), "{:?}", judged);
        for (other_volume, other, _) in &device.acknowledged {
            prop_assert!((*other_volume, *other) == (volume, offset) || records.contains(&(*other_volume, *other)));
        }
    }
}

#[test]
fn behind_a_damaged_header_the_records_decide() {
    let batch = |device: &mut Device| device.write(&small_batch(), None);
    let mut device = Device::new();
    batch(&mut device);
    batch(&mut device);
    device.next_volume();
    batch(&mut device);
    // The last record of the first volume rots, and so does the header behind it.
    device.log[0].1[8192 + 100] ^= 1;
    let unknown = Header { first_sequence: 0, previous_end: 0, acknowledged: 0, ..device.log[1].0 };
    let mut judge = Judge::new(1);
    let mut judged = Vec::new();
    for (header, (_, bytes)) in [device.log[0].0, unknown].iter().zip(&device.log) {
        judge.volume(header, HEADER_BYTES);
        assert!(judge.judged().is_empty(), "nothing is known yet");
        for found in scan(header.volume, bytes, 100).0 {
            judge.see(&found);
        }
        judged.extend(judge.judged());
    }
    let (rest, end) = judge.finish();
    assert!(rest.is_empty() && end.is_whole && end.sequence == 4);
    assert!(
        matches!(judged.as_slice(), [Judged { volume: 1, offset: 8192, verdict: Verdict::Lost, .. }]),
        "{judged:?}"
    );
}

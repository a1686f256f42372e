//! What may happen to a datagram, and what never does.

use super::*;
use crate::io::Datagrams;
use std::collections::BTreeMap;

/// Sends back what it gets.
async fn mirror() {
    let socket = Datagrams::bind(address(2)).unwrap();
    while let Ok((bytes, sender)) = socket.receive(512).await {
        socket.send(&bytes, sender).unwrap();
    }
}

/// Sends a hundred datagrams and counts how often each came back.
async fn ask(client: &Datagrams) -> BTreeMap<u8, usize> {
    let mut answers = BTreeMap::new();
    for number in 0..100_u8 {
        client.send(&Bytes::from(vec![number; 9]), address(2)).unwrap();
        // Taken at once: what waits at a socket is bounded.
        while let Ok(Ok((bytes, sender))) = timeout(Duration::from_millis(50), client.receive(512)).await {
            assert!(bytes.len() == 9 && sender == address(2) && bytes.iter().all(|byte| *byte == bytes[0]));
            *answers.entry(bytes[0]).or_default() += 1;
        }
    }
    answers
}

#[test]
fn in_a_quiet_world_every_datagram_arrives_once() {
    let sim = Sim::new(1, SimOptions::default());
    let server = sim.node("server", ip(2));
    sim.start(server, mirror);
    sim.run(async {
        sleep(SECOND).await;
        let client = Datagrams::connect(address(2)).unwrap();
        for number in 0..200_u8 {
            client.send(&Bytes::from(vec![number]), address(2)).unwrap();
            let (bytes, _) = timeout(SECOND, client.receive(512)).await.unwrap().unwrap();
            assert_eq!(&bytes[..], [number]);
        }
        assert!(timeout(SECOND, client.receive(512)).await.is_err());
    });
}

#[test]
fn datagrams_are_lost_and_doubled_but_never_torn() {
    let (mut lost, mut doubled) = (0, 0);
    for seed in 0..10 {
        let sim = Sim::new(seed, SimOptions { stall_chance: 0.1, ..SimOptions::default() });
        let server = sim.node("server", ip(2));
        sim.start(server, mirror);
        let answers = sim.run(async {
            sleep(SECOND).await;
            ask(&Datagrams::connect(address(2)).unwrap()).await
        });
        lost += 100 - answers.len();
        doubled += answers.values().filter(|count| **count > 1).count();
    }
    assert!(lost > 50 && doubled > 50, "{lost} lost, {doubled} doubled");
}

#[test]
fn strangers_partitions_and_dead_nodes_are_not_heard() {
    let sim = Sim::new(1, SimOptions::default());
    let server = sim.node("server", ip(2));
    let other = sim.node("other", ip(3));
    sim.start(server, mirror);
    let handle = sim.handle();
    sim.run(async move {
        sleep(SECOND).await;
        let client = Datagrams::connect(address(2)).unwrap();
        let own = client.local_address();
        handle.start(other, move || async move {
            Datagrams::bind(address(3)).unwrap().send(&Bytes::from_static(b"forged"), own).unwrap();
        });
        assert!(timeout(SECOND, client.receive(512)).await.is_err());
        handle.partition(CLIENT, server, true);
        client.send(&Bytes::from_static(b"lost"), address(2)).unwrap();
        assert!(timeout(SECOND, client.receive(512)).await.is_err());
        handle.partition(CLIENT, server, false);
        handle.crash(server);
        client.send(&Bytes::from_static(b"lost"), address(2)).unwrap();
        assert!(timeout(SECOND, client.receive(512)).await.is_err());
        handle.start(server, mirror);
        sleep(SECOND).await;
        client.send(&Bytes::from_static(b"heard"), address(2)).unwrap();
        assert_eq!(&timeout(SECOND, client.receive(512)).await.unwrap().unwrap().0[..], b"heard");
        let _taken = Datagrams::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 53)).unwrap();
        assert!(Datagrams::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 53)).is_err());
        assert!(Datagrams::bind(address(2)).is_err(), "another node's address");
    });
}

//! Several writers at one device, each with objects of its own, one operation at a time; every answer is compared.

use super::device::send;
use super::draw::Draw;
use super::map::{Known, Operation};
use base::io;
use objectd::node::Node;
use std::cell::RefCell;
use std::rc::Rc;

/// What one writer knows. It outlives the node that it works on.
pub struct Writer {
    pub draw: Draw,
    /// Names and what they may be.
    pub objects: Vec<(String, Known)>,
    /// Operations sent.
    pub sent: u64,
    /// Operations without an answer.
    pub failed: u64,
    /// The first of them.
    pub first_failed: Option<String>,
    /// What was not as it must be.
    pub violations: Vec<String>,
}

/// Shared by a test and the task on the node.
pub type Shared = Rc<RefCell<Writer>>;

impl Writer {
    /// With `objects` names.
    pub fn new(number: u64, draw: Draw, objects: usize) -> Shared {
        let objects = (0..objects).map(|object| (format!("o{number}-{object}"), Known::default())).collect();
        Rc::new(RefCell::new(Writer { draw, objects, sent: 0, failed: 0, first_failed: None, violations: Vec::new() }))
    }
}

/// Lets all writers work until each has sent `operations`. Operations that fail are taken for done or not done.
pub async fn work(node: Rc<Node>, writers: &[Shared], operations: u64) {
    let tasks: Vec<_> = writers.iter().map(|writer| io::spawn(one(node.clone(), writer.clone(), operations))).collect();
    for task in tasks {
        // Ends: each sends a fixed number of operations.
        task.await.expect("a writer panicked");
    }
}

async fn one(node: Rc<Node>, writer: Shared, operations: u64) {
    for _ in 0..operations {
        let (object, operation) = {
            let mut writer = writer.borrow_mut();
            let count = writer.objects.len();
            (writer.draw.object(count), writer.draw.operation())
        };
        perform(&node, &writer, object, &operation).await;
    }
}

/// One operation; answers whether it was answered.
pub async fn perform(node: &Rc<Node>, writer: &Shared, object: usize, operation: &Operation) -> bool {
    let (name, outcomes) = {
        let mut writer = writer.borrow_mut();
        writer.sent += 1;
        let (name, known) = &mut writer.objects[object];
        (name.clone(), known.begin(operation))
    };
    let answer = send(node, &name, operation).await;
    let mut writer = writer.borrow_mut();
    let Some(answer) = answer else {
        writer.failed += 1;
        let _ = writer.first_failed.get_or_insert_with(|| shorten(&format!("{name}: {operation:?}")));
        writer.objects[object].1.failed(operation);
        return false;
    };
    if let Err(possible) = writer.objects[object].1.answered(operation, outcomes, &answer) {
        let at = operation.at.internal();
        writer
            .violations
            .push(format!("{name} at {at}: {:?}\n  answered {answer:?}\n  not {possible:?}", operation.verb));
    }
    true
}

/// Reads every object; each must be one of what it may be.
pub async fn verify(node: Rc<Node>, writers: &[Shared]) {
    for writer in writers {
        let count = writer.borrow().objects.len();
        for object in 0..count {
            let look = writer.borrow().draw.look();
            if !perform(&node, writer, object, &look).await {
                let mut writer = writer.borrow_mut();
                let (name, known) = &writer.objects[object];
                let complaint = format!("{name} cannot be read; it was {known:?}");
                writer.violations.push(complaint);
            }
        }
    }
}

/// Panics when something was not as it must be.
pub fn judge(writers: &[Shared], context: &str) {
    for writer in writers {
        let writer = writer.borrow();
        if let Some(first) = writer.violations.first() {
            panic!("{context}: {} violations, the first: {}", writer.violations.len(), shorten(first));
        }
    }
}

/// Bodies are long.
pub fn shorten(text: &str) -> String {
    let mut shown = String::new();
    for piece in text.split("b\"") {
        let cut = if shown.is_empty() { piece } else { piece.split_once('"').map_or("", |(_, rest)| rest) };
        shown.push_str(if shown.is_empty() { "" } else { "<bytes>" });
        shown.push_str(cut);
    }
    shown
}

//! A part of the file system, as a rule one disk, whose slowness is its own.

use crate::io::{real, simulated};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Whatever this core does below one directory waits for threads of its own, so that a disk that is slow or answers no more keeps nothing
/// waiting that lies elsewhere. Costs eight threads, which sleep while there is nothing to do, until the core ends.
#[derive(Clone)]
pub struct Lane(Option<Rc<real::lane::Lane>>);

impl Lane {
    /// Of the directory `root`, from now on: what was opened before stays where it was. The same again for the same `root`.
    pub fn open(root: &Path) -> io::Result<Lane> {
        Ok(Lane(if simulated() { None } else { Some(real::open_lane(root)?) }))
    }

    /// How long its disk has owed an answer (to a synced write, a commit, a read past the page cache) without giving any; zero when it owes
    /// none. A simulated disk is never silent.
    pub fn silent_for(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |lane| lane.silent_for())
    }
}

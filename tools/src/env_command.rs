//! `martlet env`: client settings of a cluster made by `up`, in a form that a shell can `eval`.

use crate::Failure;
use crate::up::Profile;
use crate::up::layout::Layout;
use std::path::PathBuf;

/// `martlet env`'s command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Folder of the cluster
    #[arg(default_value = "martlet-data")]
    dir: PathBuf,
    /// For python-swiftclient: ST_AUTH, ST_USER, ST_KEY (the default)
    #[arg(long, conflicts_with = "rclone")]
    swift: bool,
    /// For rclone: RCLONE_CONFIG_MARTLET_...
    #[arg(long)]
    rclone: bool,
}

/// Prints the settings.
pub fn run(options: &Options) -> Result<(), Failure> {
    let layout = Layout::open(&options.dir)?;
    if layout.profile == Profile::Keystone {
        let text = "the users of this cluster are in Keystone: clients take their settings from its openrc file";
        return Err(Failure::usage(text));
    }
    let (endpoint, user, key) = (layout.endpoint(), layout.user(), &layout.key);
    if options.rclone {
        println!("export RCLONE_CONFIG_MARTLET_TYPE=swift");
        println!("export RCLONE_CONFIG_MARTLET_AUTH='{endpoint}/auth/v1.0'");
        println!("export RCLONE_CONFIG_MARTLET_AUTH_VERSION=1");
        println!("export RCLONE_CONFIG_MARTLET_USER='{user}'");
        println!("export RCLONE_CONFIG_MARTLET_KEY='{key}'");
    } else {
        println!("export ST_AUTH='{endpoint}/auth/v1.0'");
        println!("export ST_USER='{user}'");
        println!("export ST_KEY='{key}'");
    }
    Ok(())
}

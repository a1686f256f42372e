//! Server against raw bytes and against our own client, over loopback.

//! Fixed workloads by name against any Swift endpoint, one report.

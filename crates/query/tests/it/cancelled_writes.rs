//! A cancelled write is either not there, or it is acknowledged.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use outcrop_engine::EngineOptions;
use outcrop_env::{DirEntry, DirLock, Disk, Env, File, FileName};
use outcrop_types::Condition;
use parking_lot::{Condvar, Mutex};

use crate::support::{TestDatabase, TestSession};

/// Holds syncs back while it is closed.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    waiting: usize,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.closed);
        state.waiting -= 1;
    }

    fn close(&self) {
        self.state.lock().closed = true;
    }

    fn open(&self) {
        self.state.lock().closed = false;
        self.changed.notify_all();
    }

    /// Waits until somebody waits for a sync.
    async fn someone(self: &Arc<Self>) {
        let gate = Arc::clone(self);
        let waiting = move || gate.changed.wait_while(&mut gate.state.lock(), |state| state.waiting == 0);
        tokio::task::spawn_blocking(waiting).await.unwrap();
    }
}

#[derive(Debug)]
struct GatedDisk(Arc<dyn Disk>, Arc<Gate>);

impl GatedDisk {
    #[expect(clippy::unnecessary_wraps, reason = "used as a function of and_then")]
    fn gated(&self, file: Arc<dyn File>) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(GatedFile(file, Arc::clone(&self.1))))
    }
}

impl Disk for GatedDisk {
    fn create(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.0.create(name).and_then(|file| self.gated(file))
    }
    fn open(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.0.open(name).and_then(|file| self.gated(file))
    }
    fn open_read(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.0.open_read(name)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        self.0.list(dir)
    }
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.0.create_dir(dir)
    }
    fn remove(&self, name: &FileName) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn publish(&self, temporary: &FileName, name: &FileName) -> io::Result<()> {
        self.0.publish(temporary, name)
    }
    fn lock(&self, name: &FileName) -> io::Result<Box<dyn DirLock>> {
        self.0.lock(name)
    }
    fn describe(&self, name: &FileName) -> String {
        self.0.describe(name)
    }
}

#[derive(Debug)]
struct GatedFile(Arc<dyn File>, Arc<Gate>);

impl File for GatedFile {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, bytes)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(offset, bytes)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn zero_fill(&self, from: u64, to: u64) -> io::Result<()> {
        self.0.zero_fill(from, to)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync_data()
    }
}

fn gated() -> (TestDatabase, Arc<Gate>) {
    let dir = tempfile::tempdir().unwrap();
    let mut env = Env::real(dir.path()).unwrap();
    let gate = Arc::new(Gate::default());
    env.disk = Arc::new(GatedDisk(Arc::clone(&env.disk), Arc::clone(&gate)));
    (TestDatabase::in_env(env, dir, EngineOptions::default()), gate)
}

async fn table(session: &mut TestSession) {
    session.tag("create table t (id int primary key, n int)").await;
    session.tag("insert into t values (1, 1)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_commit_has_begun_its_outcome_is_the_answer() {
    let (database, gate) = gated();
    let mut reader = database.session();
    table(&mut reader).await;
    for (sql, answer, rows) in [
        ("insert into t values (2, 2)", "INSERT 0 1", "2|3"),
        ("update t set n = n + 1 where id = 2 returning n * 2", "UPDATE 1", "2|4"),
        ("delete from t where id = 2", "DELETE 1", "1|1"),
    ] {
        for by_deadline in [false, true] {
            if by_deadline && sql.starts_with("insert") {
                reader.tag("delete from t where id = 2").await;
            } else if by_deadline && sql.starts_with("delete") {
                reader.tag("insert into t values (2, 4)").await;
            } else if by_deadline {
                reader.tag("update t set n = 2 where id = 2").await;
            }
            let mut session = database.session();
            if by_deadline {
                session.tag("set statement_timeout = '200ms'").await;
            }
            let cancel = session.session.cancel_token();
            gate.close();
            let write = tokio::spawn(async move { session.run(sql).await });
            gate.someone().await;
            if by_deadline {
                tokio::time::sleep(Duration::from_millis(300)).await;
            } else {
                cancel.cancel();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            gate.open();
            let answered = write.await.unwrap().unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            assert_eq!(answered.tag, answer, "{sql}");
            assert_eq!(reader.rows("select count(*), sum(n) from t").await, [rows], "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_cancelled_before_its_commit_is_not_there() {
    let (database, _gate) = gated();
    let mut reader = database.session();
    table(&mut reader).await;
    for sql in [
        "insert into t select g, g from generate_series(2, 10000000000) g(g)",
        "insert into t values (2, 2) returning (select count(*) from generate_series(1, 10000000000))",
        "delete from t returning (select count(*) from generate_series(1, 10000000000)) + id",
    ] {
        let mut session = database.session();
        session.tag("set statement_timeout = '100ms'").await;
        assert_eq!(session.error(sql).await.condition(), Condition::QueryCanceled, "{sql}");
        // The table is free again: nothing of the cancelled statement holds it.
        assert_eq!(reader.tag("update t set n = n + 1").await, "UPDATE 1");
    }
    assert_eq!(reader.rows("select id, n from t").await, ["1|4"]);
}

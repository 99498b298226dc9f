//! A disk that refuses space: its word is the answer, and nothing of the statement is there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outcrop_engine::EngineOptions;
use outcrop_env::{DirEntry, DirLock, Disk, Env, File, FileName};
use outcrop_types::Condition;

use crate::support::TestDatabase;

/// Refuses one file when it is told to.
#[derive(Debug)]
struct RefusingDisk(Arc<dyn Disk>, Arc<AtomicBool>);

impl Disk for RefusingDisk {
    fn create(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        match self.1.swap(false, Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.0.create(name),
        }
    }
    fn open(&self, name: &FileName) -> io::Result<Arc<dyn File>> {
        self.0.open(name)
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

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_of_literals_is_not_tried_again_the_general_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut env = Env::real(dir.path()).unwrap();
    let refuses = Arc::new(AtomicBool::new(false));
    env.disk = Arc::new(RefusingDisk(Arc::clone(&env.disk), Arc::clone(&refuses)));
    // Everything is staged, and no one else makes files meanwhile.
    let mut options = EngineOptions::default();
    options.commit_inline_bytes_max = 1 << 10;
    options.compaction_in_background = false;
    let database = TestDatabase::in_env(env, dir, options);
    let mut session = database.session();
    session.tag("create table t (id int primary key)").await;
    let rows: Vec<String> = (0..20_000).map(|id| format!("({id})")).collect();
    let insert = format!("insert into t values {}", rows.join(", "));
    refuses.store(true, Ordering::SeqCst);
    let error = session.run(&insert).await.unwrap_err();
    assert_eq!(error.condition(), Condition::DiskFull, "{error:?}");
    assert!(!refuses.load(Ordering::SeqCst), "no file was asked for");
    assert_eq!(session.rows("select count(*) from t").await, ["0"]);
    assert_eq!(session.tag(&insert).await, "INSERT 0 20000");
}

//! E3 and E4, with threads and without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outcrop_env::{Env, Signal, Step, Worker};

struct Each<F>(F);

impl<F: FnMut() -> Step + Send> Worker for Each<F> {
    fn step(&mut self) -> Step {
        (self.0)()
    }
}

/// A real and a simulated environment; the directory lives as long as they do.
fn both() -> (tempfile::TempDir, Vec<Env>) {
    let root = tempfile::tempdir().unwrap();
    let real = Env::real(root.path()).unwrap();
    (root, vec![real, Env::simulated(1).0])
}

#[test]
fn e3_no_wake_up_is_lost_between_two_parties() {
    let (_root, environments) = both();
    for env in environments {
        let (request, reply) = (Arc::new(Signal::new()), Arc::new(Signal::new()));
        let (asked, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let worker = {
            let (reply, asked, answered) = (Arc::clone(&reply), Arc::clone(&asked), Arc::clone(&answered));
            Each(move || {
                let wanted = asked.load(Ordering::SeqCst);
                if answered.swap(wanted, Ordering::SeqCst) != wanted {
                    reply.notify();
                }
                Step::Wait
            })
        };
        let handle = env.tasks.start("echo", Arc::clone(&request), Box::new(worker)).unwrap();
        for round in 1..=5000 {
            asked.store(round, Ordering::SeqCst);
            request.notify();
            // A lost wake-up would let this run into its deadline.
            let done = env
                .tasks
                .wait_until(&reply, Some(Duration::from_secs(20)), &mut || answered.load(Ordering::SeqCst) == round);
            assert!(done, "round {round}");
        }
        drop(handle);
    }
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let (_root, environments) = both();
    for env in environments {
        let start = env.clock.monotonic();
        assert!(!env.tasks.wait_until(&Signal::new(), Some(Duration::from_millis(30)), &mut || false));
        assert!(env.clock.monotonic() - start >= Duration::from_millis(30));
        assert!(env.tasks.parallelism() > 0);
    }
}

#[test]
fn timed_waits_of_a_worker_end_without_a_signal() {
    let (_root, environments) = both();
    for env in environments {
        let signal = Arc::new(Signal::new());
        let (steps, done) = (Arc::new(AtomicU64::new(0)), Arc::new(Signal::new()));
        let worker = {
            let (steps, done) = (Arc::clone(&steps), Arc::clone(&done));
            Each(move || {
                let count = steps.fetch_add(1, Ordering::SeqCst);
                done.notify();
                if count == 3 { Step::Stop } else { Step::WaitAtMost(Duration::from_millis(2)) }
            })
        };
        let handle = env.tasks.start("ticker", signal, Box::new(worker)).unwrap();
        let limit = Some(Duration::from_secs(20));
        assert!(env.tasks.wait_until(&done, limit, &mut || steps.load(Ordering::SeqCst) == 4));
        drop(handle);
        assert_eq!(steps.load(Ordering::SeqCst), 4);
    }
}

#[test]
fn e4_a_panic_reaches_its_owner() {
    let (_root, environments) = both();
    for env in environments {
        let signal = Arc::new(Signal::new());
        let worker = Each(|| panic!("out of luck"));
        let handle = env.tasks.start("unlucky", Arc::clone(&signal), Box::new(worker)).unwrap();
        let told = Arc::new(AtomicBool::new(false));
        let hook = Arc::clone(&told);
        handle.on_panic(move |message| hook.store(message == "out of luck", Ordering::SeqCst));
        let limit = Some(Duration::from_secs(20));
        assert!(env.tasks.wait_until(&signal, limit, &mut || handle.is_finished()));
        assert!(told.load(Ordering::SeqCst));
        assert_eq!(handle.panicked().as_deref(), Some("out of luck"));
        // A hook that comes late is called at once.
        let late = Arc::new(AtomicBool::new(false));
        let hook = Arc::clone(&late);
        handle.on_panic(move |_| hook.store(true, Ordering::SeqCst));
        assert!(late.load(Ordering::SeqCst));
    }
}

#[test]
fn dropping_a_handle_stops_and_drops_the_worker() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (_root, environments) = both();
    for env in environments {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Flag(Arc::clone(&dropped));
        let worker = Each(move || {
            let _kept = &flag;
            Step::Wait
        });
        let mut handle = env.tasks.start("idle", Arc::new(Signal::new()), Box::new(worker)).unwrap();
        handle.stop();
        assert!(dropped.load(Ordering::SeqCst));
        assert!(handle.is_finished());
        assert_eq!(handle.panicked(), None);
    }
}

#[test]
fn the_schedule_of_workers_follows_the_seed() {
    let order = |seed| {
        let (env, sim) = Env::simulated(seed);
        let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let handles: Vec<_> = (0..4)
            .map(|id| {
                let seen = Arc::clone(&seen);
                let worker = Each(move || {
                    seen.lock().push(id);
                    Step::Again
                });
                env.tasks.start("one of four", Arc::new(Signal::new()), Box::new(worker)).unwrap()
            })
            .collect();
        assert_eq!(sim.run_until_idle(50), 50);
        drop(handles);
        assert!(!sim.step());
        Arc::into_inner(seen).unwrap().into_inner()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert!((0..4).all(|id| order(3).contains(&id)));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_simulated_wait_for_nothing_is_reported() {
    let (env, _sim) = Env::simulated(1);
    env.tasks.wait_until(&Signal::new(), None, &mut || false);
}

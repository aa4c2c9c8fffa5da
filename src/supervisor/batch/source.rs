//! Where the tasks of a batch come from: all at once from a file, or one by one from a program that writes them.

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, channel};

use crate::supervisor::Error;
use crate::supervisor::attempt::TaskRef;

/// Tasks that were read and wait for room. The rest stays with the program that writes them.
const WAITING: usize = 64;

/// What comes next.
pub enum Next {
    /// A task.
    Task(TaskRef),
    /// Something that is no task, and why. What follows counts.
    Mistake(String),
    /// Nothing is there yet.
    NotYet,
    /// Nothing more comes.
    End,
}

/// What a writer sends.
enum Came {
    Task(TaskRef),
    Mistake(String),
    Broken(Error),
}

/// Where tasks come from, in order.
pub enum TaskSource {
    /// Tasks that are there, and were looked through before.
    There(Box<dyn Iterator<Item = Result<TaskRef, Error>> + Send>),
    /// Tasks that come.
    Coming(Coming),
}

/// Tasks as they come.
pub struct Coming(Receiver<Came>);

impl TaskSource {
    /// Reads `tasks` in a thread of its own, because a read may take as long as the writer does. `nothing` is the error if none comes.
    pub fn coming(tasks: impl Iterator<Item = Result<TaskRef, Error>> + Send + 'static, nothing: Error) -> Self {
        let (sender, receiver) = channel(WAITING);
        std::thread::spawn(move || {
            let mut is_empty = true;
            for task in tasks {
                is_empty = false;
                let came = match task {
                    Ok(task) => Came::Task(task),
                    Err(Error::Input(why)) => Came::Mistake(why),
                    Err(error) => Came::Broken(error),
                };
                // The run has ended.
                if sender.blocking_send(came).is_err() {
                    return;
                }
            }
            if is_empty {
                let _ = sender.blocking_send(Came::Broken(nothing));
            }
        });
        Self::Coming(Coming(receiver))
    }

    /// True if tasks may come later.
    pub const fn is_coming(&self) -> bool {
        matches!(self, Self::Coming(_))
    }

    /// What is there now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn now(&mut self) -> Result<Next, Error> {
        match self {
            Self::There(tasks) => Ok(tasks.next().transpose()?.map_or(Next::End, Next::Task)),
            Self::Coming(coming) => match coming.0.try_recv() {
                Ok(came) => came.next(),
                Err(TryRecvError::Empty) => Ok(Next::NotYet),
                Err(TryRecvError::Disconnected) => Ok(Next::End),
            },
        }
    }

    /// The same, but waits for it. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn next(&mut self) -> Result<Next, Error> {
        match self {
            Self::There(_) => self.now(),
            Self::Coming(coming) => coming.0.recv().await.map_or(Ok(Next::End), Came::next),
        }
    }
}

impl Came {
    fn next(self) -> Result<Next, Error> {
        match self {
            Self::Task(task) => Ok(Next::Task(task)),
            Self::Mistake(why) => Ok(Next::Mistake(why)),
            Self::Broken(error) => Err(error),
        }
    }
}

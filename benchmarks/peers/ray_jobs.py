"""Ray Jobs with its defaults: for each line read a job is submitted; printed are the milliseconds to its first."""

import sys
import time

import ray
from ray.job_submission import JobStatus, JobSubmissionClient

PROGRAM = "python -u -c 'import time; print(time.time())'"


def run(client: JobSubmissionClient) -> float:
    asked_at = time.time()
    job_id = client.submit_job(entrypoint=PROGRAM)
    while client.get_job_status(job_id) not in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}:
        time.sleep(0.05)
    line = next(line for line in client.get_job_logs(job_id).splitlines() if line[:1].isdigit() and "," not in line)
    return (float(line) - asked_at) * 1000


if __name__ == "__main__":
    context = ray.init(
        include_dashboard=True, dashboard_host="127.0.0.1", dashboard_port=int(sys.argv[1]), log_to_driver=False
    )
    submitting = JobSubmissionClient(f"http://127.0.0.1:{sys.argv[1]}")
    print("ready", flush=True)
    for _ in sys.stdin:
        print(run(submitting), flush=True)

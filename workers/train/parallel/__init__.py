"""One run on several processes: how they start, meet, share a step, and end together.

| file | what it is for |
| --- | --- |
| `entry.py` | what this process is: the only one, the launcher of the others, or one of them |
| `launcher.py` | starts the processes, ends all when one is lost, and says so |
| `seat.py` | a process's place among the others, in torchrun's environment variables |
| `rank.py` | the life of a process that neither speaks nor writes |
| `watch.py` | no process outlives its launcher or the main process |
| `meeting.py` | the process group, from joining to leaving |
| `team.py` | values shared, sums taken, commands obeyed at the same step |
| `sharing.py` | which micro-batches of a step are whose, and what random numbers they see |
| `gradients.py` | sums, norm and clipping over all processes |
| `strategies.py`, `fsdp.py`, `zero3.py` | how weights are spread |
| `tensors.py` | whole tensors from parts, parts from whole tensors, for checkpoints |
"""

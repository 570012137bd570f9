namespace AccelerateSharp.TestWorker;

/// <summary>Marks a static method that a worker process can be started with; it takes a <see cref="WorkerContext"/> or nothing.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ScenarioAttribute : Attribute;

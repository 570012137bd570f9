namespace AccelerateSharp.DistributedTests;

/// <summary>Models of the Hub, and adapters on them, train over processes as on one.</summary>
public class ModelTests
{
    [Fact]
    public void Losses_of_a_Llama_are_those_of_one_process() => WorkerGroup.Run("LlamaEquality", 2, "ddp", "fsdp", "lora-ddp", "lora-fsdp");
}

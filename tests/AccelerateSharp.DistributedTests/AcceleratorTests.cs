namespace AccelerateSharp.DistributedTests;

public class AcceleratorTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Operations_over_all_processes(int size) => WorkerGroup.Run("Operations", size);

    [Fact]
    public void Two_models_in_turns_and_scopes_without_synchronisation() => WorkerGroup.Run("TwoModelsAndNoSync", 2);

    [Fact]
    public void A_forgotten_Backward_is_said() => WorkerGroup.Run("ForgottenBackward", 2);

    [Fact]
    public void Training_goes_on_after_an_exception_in_forward() => WorkerGroup.Run("ExceptionInForward", 2);

    [Fact]
    public void Models_that_differ_between_ranks_are_refused_by_name() => WorkerGroup.Run("DifferentModels", 2);
}

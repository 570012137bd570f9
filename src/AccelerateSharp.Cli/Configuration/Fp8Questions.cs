using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Configuration;

/// <summary>The questions of 8-bit training.</summary>
internal static class Fp8Questions
{
    public static ConfigSection Ask(IQuestions questions)
    {
        var backend = questions.Pick("Which recipe of fp8 do you want to use?", ConfigKeys.Fp8Backends, "AO");
        var values = new ConfigSection { ["backend"] = backend };
        switch (backend)
        {
            case "AO":
                values["enable_fsdp_float8_all_gather"] = questions.Confirm("Do you want FSDP to gather weights as fp8?", defaultAnswer: true);
                values["pad_inner_dim"] = questions.Confirm("Do you want sizes padded to what fp8 needs?", defaultAnswer: true);
                break;
            case "TE":
                values["use_autocast_during_eval"] = questions.Confirm("Do you want fp8 in evaluation too?");
                values["margin"] = questions.Whole("Which margin has the scaling factor?", 0, minimum: 0);
                values["interval"] = questions.Whole("Every how many steps is it computed anew?", 1, minimum: 1);
                values["fp8_format"] = questions.Pick("Which format?", ["HYBRID", "E4M3", "E5M2"], "HYBRID");
                values["amax_history_len"] = questions.Whole("Over how many steps are the largest values remembered?", 1024, minimum: 1);
                values["amax_compute_algo"] = questions.Pick("Which of them sets the scale?", ["max", "most_recent"], "most_recent");
                break;
            default:
                values["opt_level"] = questions.Pick("Which optimization level?", ["O1", "O2", "O3"], "O2");
                break;
        }
        return values;
    }
}

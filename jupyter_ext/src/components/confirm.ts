/**
 * Questions that several views ask.
 */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

/**
 * Ask whether a user is to be trusted.
 *
 * @param user - the name of the user
 * @param trans - the reader's language
 */
export async function confirmTrust(
  user: string,
  trans: TranslationBundle
): Promise<boolean> {
  const answer = await showDialog({
    title: trans.__('Trust %1?', user),
    body: trans.__(
      'What tasks of %1 display can then act as you in this page, and commands, tasks and results in queues of %1 can run as you. To undo this, type: desipipe trust --remove %1',
      user
    ),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Show as text') }),
      Dialog.warnButton({ label: trans.__('Trust %1', user) })
    ],
    defaultButton: 0
  });
  return answer.button.accept;
}
